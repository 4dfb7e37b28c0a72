package wire

import (
	"slices"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

// answersHeld is for how long an answer to the leader counts as heard. If it was not, the heartbeats of the leader, which
// come less often than that, have the follower say it again.
const answersHeld = 25 * time.Millisecond

// answers leaves out what a follower tells its leader twice. A leader says at once up to where entries are committed, in a
// message without entries, and Raft answers that as any other: with the index that it has acknowledged a moment
// ago, in the same term. Such an answer changes nothing at the leader, and costs a message, a wake and a turn of its
// Raft for each follower and entry. One connection to one member has one; a new connection begins with none.
type answers struct {
	shard, term, index uint64
	said               time.Time
}

// news gives the messages without such answers. The slice stays the caller's.
func (a *answers) news(messages []pb.Message, now time.Time) []pb.Message {
	for i := range messages {
		if !a.known(&messages[i], now) {
			continue
		}
		kept := slices.Clone(messages[:i])
		for _, m := range messages[i+1:] {
			if !a.known(&m, now) {
				kept = append(kept, m)
			}
		}
		return kept
	}
	return messages
}

// known reports whether a message is an answer that the leader has had, and notes one that it has not.
func (a *answers) known(m *pb.Message, now time.Time) bool {
	if m.Type != pb.ReplicateResp || m.Reject {
		return false
	}
	if a.shard == m.ShardID && a.term == m.Term && m.LogIndex <= a.index && now.Sub(a.said) < answersHeld {
		return true
	}
	*a = answers{shard: m.ShardID, term: m.Term, index: m.LogIndex, said: now}
	return false
}
