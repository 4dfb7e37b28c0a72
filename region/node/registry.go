package node

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"

	"supercluster/internal/fault"
)

// hostID is a node's id in Dragonboat: a UUID made of its name, so that all nodes know all ids from the list of
// members, and addresses can change without Raft knowing.
func hostID(name string) string {
	h := sha256.Sum256([]byte("supercluster node\x00" + name))
	h[6] = h[6]&0x0f | 0x80 // version 8: custom
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// members resolves replicas to names of members; region/wire knows their addresses.
type members struct {
	names map[string]string // host id -> name; never changes

	mu       sync.RWMutex
	replicas map[raftio.NodeInfo]string
}

func newMembers(names []string) *members {
	m := &members{names: map[string]string{}, replicas: map[raftio.NodeInfo]string{}}
	for _, name := range names {
		m.names[hostID(name)] = name
	}
	return m
}

// Create gives Dragonboat the registry.
func (m *members) Create(string, uint64, config.TargetValidator) (raftio.INodeRegistry, error) {
	return m, nil
}

// Close has nothing to do.
func (m *members) Close() error { return nil }

// Add learns which node a replica is on. Ids of nodes that are no members are not learned: nobody can dial them.
func (m *members) Add(shard, replica uint64, host string) {
	name, ok := m.names[host]
	if !ok {
		return
	}
	key := raftio.NodeInfo{ShardID: shard, ReplicaID: replica}
	m.mu.RLock()
	have := m.replicas[key]
	m.mu.RUnlock()
	if have == name {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replicas[key] = name
}

// Remove forgets a replica.
func (m *members) Remove(shard, replica uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.replicas, raftio.NodeInfo{ShardID: shard, ReplicaID: replica})
}

// RemoveShard forgets all replicas of a shard.
func (m *members) RemoveShard(shard uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.replicas {
		if key.ShardID == shard {
			delete(m.replicas, key)
		}
	}
}

// Resolve gives the name of the node that a replica is on, as address and as key of its connection.
func (m *members) Resolve(shard, replica uint64) (string, string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	name, ok := m.replicas[raftio.NodeInfo{ShardID: shard, ReplicaID: replica}]
	if !ok {
		return "", "", fault.New(fault.NotFound, "replica %d of shard %d is on no known node", replica, shard)
	}
	return name, name, nil
}
