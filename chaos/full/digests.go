package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/history"
)

// verifyFor is how long one comparison with the sources may take.
const verifyFor = 2 * time.Second

// Digests writes down the digest of every channel at its source and where it is imported, and says which differ.
func (w *world) Digests(ctx context.Context) (problem string) {
	own := map[string]string{}
	for _, s := range w.sites {
		if err := s.ownDigests(ctx, own); err != nil {
			return err.Error()
		}
	}
	for _, s := range w.sites {
		p, err := s.importedDigests(ctx, own)
		if err != nil {
			p = err.Error()
		}
		if p != "" {
			problem = p
		}
	}
	return problem
}

func (s *site) ownDigests(ctx context.Context, own map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answer, err := s.API().ListChannels(ctx, &pb.ListChannelsRequest{})
	for _, c := range answer.GetChannels() {
		if c.GetOwn() {
			text := digestText(c.GetDigest(), c.GetRecords())
			own[channelOf(s.Name, c.GetChannel().GetId())] = text
			s.digest(s.Name, c.GetChannel().GetId(), text)
		}
	}
	return err
}

// importedDigests compares what a region has with what its sources signed, which costs it a read of all of it.
func (s *site) importedDigests(ctx context.Context, own map[string]string) (problem string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*verifyFor)
	defer cancel()
	answer, err := s.API().Verify(ctx, &pb.VerifyRequest{Timeout: durationpb.New(verifyFor)})
	if err == nil && len(answer.GetResults()) == 0 {
		problem = s.Name + " imports nothing"
	}
	for _, v := range answer.GetResults() {
		text := digestText(v.GetDigest(), v.GetRecords())
		if !v.GetEqual() {
			text = "not equal: " + v.GetProblem()
		}
		if text != own[channelOf(v.GetRegion(), v.GetChannel())] {
			problem = fmt.Sprintf("channel %s of %s in %s: %s", v.GetClass(), v.GetRegion(), s.Name, text)
		}
		s.imported(v, text, own)
	}
	return problem, err
}

// imported writes down what a region has of a channel; where its source was not heard, of all of its channels.
func (s *site) imported(v *pb.VerifyResult, text string, own map[string]string) {
	if v.GetChannel() != 0 {
		s.digest(v.GetRegion(), v.GetChannel(), text)
		return
	}
	for name := range own {
		if region, id, _ := strings.Cut(name, " "); region == v.GetRegion() {
			s.digestOf(region, id, text)
		}
	}
}

func channelOf(region string, id uint32) string { return fmt.Sprintf("%s %d", region, id) }

func digestText(digest string, records uint64) string {
	return fmt.Sprintf("%s of %d", digest, records)
}

func (s *site) digest(source string, channel uint32, text string) {
	s.digestOf(source, fmt.Sprint(channel), text)
}

func (s *site) digestOf(source, channel, text string) {
	s.world.run.Log.Add(history.Line{Type: history.Digests, Region: s.Name, Digest: &history.Digest{Source: source, Channel: channel, Digest: text}})
}
