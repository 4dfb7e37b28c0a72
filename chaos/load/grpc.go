package load

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/xds" // the resolver of xds:///

	"supercluster/chaos/clients/raw"
)

// callWithin bounds one call.
const callWithin = 5 * time.Second

// SendGRPC calls a target such as xds:///echo at a fixed rate until ctx ends, as a client of gRPC does that knows nothing of us, and
// prints every outcome for a Log. What a backend answers is its name. The bootstrap of xDS is the process's: GRPC_XDS_BOOTSTRAP.
func SendGRPC(ctx context.Context, target string, perSecond int, out io.Writer) error {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	var mu sync.Mutex
	paced(ctx, perSecond, func() {
		o := outcome{at: time.Now()}
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callWithin)
		defer cancel()
		var who []byte
		err := conn.Invoke(call, "/demo.Echo/Who", &[]byte{}, &who, grpc.ForceCodec(raw.Codec{}))
		if o.ok, o.backend = err == nil, string(who); err != nil {
			o.problem = err.Error()
		}
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.WriteString(out, line(o)) // who reads it sees that it ends
	})
	return nil
}
