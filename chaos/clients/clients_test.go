package clients

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/clients/raw"
	"supercluster/internal/procs"
)

const root = "../.."

// client is one real client: how it is started, and what is missing when it cannot be.
type client struct {
	name    string
	command func() (cmd []string, missing string)
}

func clients(t *testing.T) []client {
	return []client{
		{"grpc-go", func() ([]string, string) {
			bin := filepath.Join(t.TempDir(), "goclient")
			if out, err := exec.Command("go", "build", "-o", bin, "./goclient").CombinedOutput(); err != nil {
				t.Fatalf("build goclient: %v: %s", err, out)
			}
			return []string{bin}, ""
		}},
		{"node", func() ([]string, string) {
			modules, _ := filepath.Abs(filepath.Join(root, ".tools", "node", "node_modules"))
			if _, err := os.Stat(filepath.Join(modules, "@grpc", "grpc-js-xds")); err != nil {
				return nil, "Node's @grpc/grpc-js-xds"
			}
			return []string{"env", "NODE_PATH=" + modules, "node", "testdata/client.js"}, ""
		}},
		{"python", func() ([]string, string) {
			python, _ := filepath.Abs(filepath.Join(root, ".tools", "python", "bin", "python"))
			if exec.Command(python, "-c", "import grpc").Run() != nil {
				return nil, "Python's grpcio"
			}
			return []string{python, "testdata/client.py"}, ""
		}},
	}
}

// A real client finds both instances of a service, and only the other one after one has left.
func TestRealGRPCClients(t *testing.T) {
	binary := serverBinary(t)
	for _, c := range clients(t) {
		t.Run(c.name, func(t *testing.T) {
			cmd, missing := c.command()
			if missing != "" {
				if os.Getenv("SUPERCLUSTER_REQUIRE_CLIENTS") != "" {
					t.Fatalf("%s is missing: run tools/install.sh --all", missing)
				}
				t.Skipf("SKIP: %s is missing: run tools/install.sh --all", missing)
			}
			followMove(t, binary, cmd)
		})
	}
}

// serverBinary is the one of SUPERCLUSTER_BINARY, or built here.
func serverBinary(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("SUPERCLUSTER_BINARY"); given != "" {
		return given
	}
	bin := filepath.Join(t.TempDir(), "supercluster")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/supercluster").CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v: %s", err, out)
	}
	return bin
}

func followMove(t *testing.T, binary string, command []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	group, err := procs.NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	address := startDev(ctx, t, group, binary)
	conns, err := procs.Dial(address, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer conns[0].Close()
	registry := pb.NewRegistryServiceClient(conns[0])
	for _, id := range []string{"b1", "b2"} {
		if _, err := registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: &pb.Instance{Service: "web", Id: id, Address: "127.0.0.1", Port: backend(t, id)}}); err != nil {
			t.Fatal(err)
		}
	}
	bootstrap := filepath.Join(group.Dir, "xds.json")
	out, err := exec.CommandContext(ctx, binary, "proxy", "bootstrap", "--grpc", "my-client", "--server", address).Output()
	if err != nil {
		t.Fatalf("proxy bootstrap --grpc: %v", err)
	}
	if err := os.WriteFile(bootstrap, out, 0o600); err != nil {
		t.Fatal(err)
	}
	runClient(ctx, t, command, bootstrap, func() {
		if _, err := registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "b1"}); err != nil {
			t.Fatal(err)
		}
	})
}

// runClient starts a client, calls leave when it has seen both backends, and wants it to say that it moved.
func runClient(ctx context.Context, t *testing.T, command []string, bootstrap string, leave func()) {
	t.Helper()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "GRPC_XDS_BOOTSTRAP="+bootstrap)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		said = append(said, lines.Text())
		if lines.Text() == "both" {
			leave()
		}
	}
	if err := cmd.Wait(); err != nil || len(said) == 0 || said[len(said)-1] != "moved" {
		t.Errorf("the client ended with %v and said %q, want it to end with \"moved\"", err, said)
	}
}

// backend is a gRPC server that answers every call with its id.
func backend(t *testing.T, id string) uint32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(raw.Codec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var request []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		answer := []byte(id)
		return stream.SendMsg(&answer)
	}))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return uint32(l.Addr().(*net.TCPAddr).Port)
}

// startDev starts `supercluster dev` on free ports and gives its gRPC address.
func startDev(ctx context.Context, t *testing.T, group *procs.Group, binary string) string {
	t.Helper()
	ports, err := procs.FreePorts(7)
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	p, err := group.Start("dev", binary, "dev", "--http", at(0), "--grpc", at(1), "--dns", at(2), "--raft", at(3), "--probe", at(4), "--admin", at(5), "--federation", at(6))
	if err != nil {
		t.Fatal(err)
	}
	err = procs.WaitUntil(ctx, "dev", func(context.Context) bool { return strings.Contains(p.Tail(), "\nready in ") }, p)
	if err != nil {
		t.Fatal(err)
	}
	return at(1)
}
