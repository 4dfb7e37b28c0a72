package link

import "fmt"

// Class says what a stream is for, and so how urgent it is. Numbers travel: they are never reused.
type Class uint8

// The classes.
const (
	ClassControl   Class = 1 // regions, placement, trust
	ClassConfig    Class = 2 // configuration, policy, secrets
	ClassServices  Class = 3 // definitions of services
	ClassEndpoints Class = 4 // instances and health
	ClassSummaries Class = 5
	ClassCalls     Class = 6 // requests and answers: forwards, peering

	classEnd Class = 7
)

var classNames = [classEnd]string{"none", "control", "config", "services", "endpoints", "summaries", "calls"}

// urgencies orders what is sent first when not everything fits; QUIC knows 0 to 7. ClassCalls have callers that wait.
var urgencies = [classEnd]int8{7, 0, 2, 3, 4, 5, 1}

// String gives the name of the class, as it stands in metrics.
func (c Class) String() string {
	if c.valid() {
		return classNames[c]
	}
	return fmt.Sprintf("class-%d", uint8(c))
}

// Classes lists every class, in order.
func Classes() []Class {
	return []Class{ClassControl, ClassConfig, ClassServices, ClassEndpoints, ClassSummaries, ClassCalls}
}

func (c Class) valid() bool { return c >= ClassControl && c < classEnd }

// Message is what travels. Type belongs to the layer above.
type Message struct {
	Type uint8
	Body []byte
	Copy bool // received: it comes from SendCopy
}
