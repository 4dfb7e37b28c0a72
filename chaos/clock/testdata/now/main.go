// Command now prints what time it takes it for, and whether its monotonic clock runs as it should.
package main

import (
	"fmt"
	"time"
)

func main() {
	begin := time.Now()
	fmt.Println(begin.Unix(), time.Since(begin) < time.Minute)
}
