package xds

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/xds/resources"
)

// Proxies lists the connected clients by id: what each was sent, acknowledged and rejected.
func (s *Server) Proxies() []*pb.Proxy {
	now := time.Now()
	streams := s.snapshot()
	proxies := make([]*pb.Proxy, 0, len(streams))
	for _, st := range streams {
		proxies = append(proxies, st.proxy(now))
	}
	slices.SortFunc(proxies, func(a, b *pb.Proxy) int {
		if c := cmp.Compare(a.GetId(), b.GetId()); c != 0 {
			return c
		}
		return a.GetConnected().AsTime().Compare(b.GetConnected().AsTime())
	})
	return proxies
}

func (st *stream) proxy(now time.Time) *pb.Proxy {
	s := st.session.Load()
	protocol := "sotw"
	if st.delta {
		protocol = "delta"
	}
	return &pb.Proxy{
		Id:        s.client.id,
		Client:    s.client.kind(),
		Role:      string(s.client.role),
		UserAgent: s.client.agent,
		Address:   st.address,
		Node:      st.server.cfg.Node,
		Zone:      s.client.zone,
		Protocol:  protocol,
		Connected: timestamppb.New(st.connected),
		Types:     s.types(now),
		Tenant:    s.client.namespace.Tenant,
		Namespace: s.client.namespace.Namespace,
	}
}

// types shows each type that the client asked for.
func (s *session) types(now time.Time) []*pb.ProxyType {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.mu.RLock() // others keep their place in our subscriptions
	defer s.world.mu.RUnlock()
	var types []*pb.ProxyType
	for t := range s.watches {
		w := &s.watches[t]
		if !w.requested {
			continue
		}
		pt := &pb.ProxyType{
			Type: w.kind.String(), Subscribed: uint32(len(w.named)), Wildcard: w.wild,
			Pending: w.pending, Nack: w.nack, Nacks: w.nacks,
		}
		if w.nonce > 0 {
			pt.VersionSent = resources.VersionText(w.sentHash)
		}
		if !w.ackedAt.IsZero() {
			pt.VersionAcked = resources.VersionText(w.ackedHash)
			pt.AckedAge = durationpb.New(now.Sub(w.ackedAt))
		}
		if !w.nackAt.IsZero() {
			pt.NackTime = timestamppb.New(w.nackAt)
		}
		types = append(types, pt)
	}
	return types
}

// outstanding is how many bytes were sent and not acknowledged.
func (s *session) outstanding() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inFlight
}

// oldest is when the oldest response in flight was sent; zero when none is.
func (s *session) oldest() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at time.Time
	for t := range s.watches {
		if w := &s.watches[t]; w.pending && (at.IsZero() || w.sentAt.Before(at)) {
			at = w.sentAt
		}
	}
	return at
}
