package server

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// proxyService shows the xDS clients of the region and says what their bootstraps name.
type proxyService struct {
	pb.UnimplementedProxyServiceServer
	s *Server
}

// peerTimeout bounds the question to another node. One that is late is left out of the answer.
const peerTimeout = time.Second

func (p proxyService) ListProxies(ctx context.Context, req *pb.ListProxiesRequest) (*pb.ListProxiesResponse, error) {
	if err := decide(callFrom(ctx), access.Request{Verb: access.VerbList, Kind: access.KindProxy}); err != nil {
		return nil, err
	}
	page, err := pageOf(req.GetPageSize(), req.GetPageToken(), "proxies")
	if err != nil {
		return nil, err
	}
	proxies, next := collect(page, 0, slices.Values(p.s.allProxies(ctx)), proxyOrder,
		func(p *pb.Proxy) *pb.Proxy { return p })
	return &pb.ListProxiesResponse{Proxies: proxies, NextPageToken: next}, nil
}

func (p proxyService) GetProxy(ctx context.Context, req *pb.GetProxyRequest) (*pb.GetProxyResponse, error) {
	if err := decide(callFrom(ctx), access.Request{Verb: access.VerbGet, Kind: access.KindProxy, Name: req.GetId()}); err != nil {
		return nil, err
	}
	resp := &pb.GetProxyResponse{}
	for _, proxy := range p.s.allProxies(ctx) {
		if proxy.GetId() == req.GetId() {
			resp.Proxies = append(resp.Proxies, proxy)
		}
	}
	if len(resp.Proxies) == 0 {
		e := fault.New(fault.NotFound, "no connected proxy calls itself %q", req.GetId()).
			WithHint("list those that are connected: supercluster proxy ls")
		e.Field = "id"
		return nil, e
	}
	return resp, nil
}

func (p proxyService) MakeBootstrap(ctx context.Context, _ *pb.MakeBootstrapRequest) (*pb.MakeBootstrapResponse, error) {
	if err := decide(callFrom(ctx), access.Request{Verb: access.VerbDiscover, Kind: access.KindBootstrap}); err != nil {
		return nil, err
	}
	resp := &pb.MakeBootstrapResponse{Region: p.s.cfg.RegionName, Tls: p.s.cfg.TLS != nil}
	for _, n := range p.s.cfg.Region.Nodes() {
		if n.GRPC != "" {
			resp.Servers = append(resp.Servers, n.GRPC)
		}
	}
	if len(resp.Servers) == 0 {
		return nil, fault.New(fault.Unavailable, "no node of the region has said yet where it listens").WithRetryAfter(time.Second)
	}
	return resp, nil
}

// HandleProxies answers other nodes of the region that ask for this node's proxies.
func (s *Server) HandleProxies(context.Context, string, []byte) ([]byte, error) {
	return proto.Marshal(&pb.ListProxiesResponse{Proxies: s.ownProxies()})
}

func (s *Server) ownProxies() []*pb.Proxy {
	if s.cfg.Proxies == nil {
		return nil
	}
	return s.cfg.Proxies.Proxies()
}

// allProxies lists the proxies of every node that answers, in one order on every node.
func (s *Server) allProxies(ctx context.Context) []*pb.Proxy {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	var mu sync.Mutex
	all := slices.Clone(s.ownProxies())
	var wait sync.WaitGroup
	for _, node := range s.cfg.Region.Alive() {
		if node == s.cfg.Node {
			continue
		}
		wait.Go(func() {
			proxies, err := s.proxiesOf(ctx, node)
			if err != nil {
				s.log.Debug("a node did not list its proxies", "node", node, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, proxies...)
		})
	}
	wait.Wait()
	slices.SortFunc(all, func(a, b *pb.Proxy) int { return cmp.Compare(proxyOrder(a), proxyOrder(b)) })
	return all
}

func (s *Server) proxiesOf(ctx context.Context, node string) ([]*pb.Proxy, error) {
	answer, err := s.cfg.Region.Call(ctx, node, MethodProxies, nil)
	if err != nil {
		return nil, err
	}
	var list pb.ListProxiesResponse
	if err := proto.Unmarshal(answer, &list); err != nil {
		return nil, fault.Wrap(fault.Corrupt, err, "node %q answered what does not decode", node)
	}
	return list.GetProxies(), nil
}

// proxyOrder orders proxies and tells connections of one id apart.
func proxyOrder(p *pb.Proxy) string {
	return p.GetId() + "\x00" + p.GetNode() + "\x00" + p.GetAddress()
}
