package region

import (
	"cmp"
	"context"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// lastResort is the part of the reserve below which a node stops: Dragonboat can not survive a full disk, and a
// clean stop is better than a crash in the middle of a write.
const lastResort = 16

// watchDisk raises the region's alarm while this node's disk is low, and clears it. It ends with an error when the
// disk is nearly full.
func (r *Region) watchDisk(ctx context.Context, p *parts) error {
	select {
	case <-ctx.Done():
		return nil
	case <-r.ready:
	}
	tick := time.NewTicker(cmp.Or(r.cfg.State.DiskEvery, diskEvery))
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := r.checkDisk(ctx, p); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

func (r *Region) checkDisk(ctx context.Context, p *parts) error {
	disk, err := p.disk()
	if err != nil {
		r.log.Warn("the free space of the data folder is not known", "error", err)
		return nil
	}
	raised := r.raised(p)
	switch {
	case disk.Low && !raised:
		r.log.Error("the disk is low: the region refuses growth, deletes still work",
			"free", disk.Free, "reserve", disk.Reserve)
		r.alarm(ctx, p, true)
	case disk.Enough && raised:
		r.log.Info("the disk has room again", "free", disk.Free)
		r.alarm(ctx, p, false)
	}
	if disk.Free < disk.Reserve/lastResort {
		return fault.New(fault.Exhausted, "the disk of data folder %s is nearly full: %d bytes are free", r.cfg.DataDir, disk.Free).
			WithHint("make room, then start the node again")
	}
	return nil
}

// raised reports whether the alarm of this node is raised.
func (r *Region) raised(p *parts) bool {
	sum, err := p.store.Summary()
	if err != nil {
		return false
	}
	for _, a := range sum.Alarms {
		if a.Kind == record.AlarmNoSpace && a.Replica == p.folder.Replica() {
			return true
		}
	}
	return false
}

func (r *Region) alarm(ctx context.Context, p *parts, raise bool) {
	r.duty(ctx, "reporting free disk space", record.Op{Type: record.OpAlarm, Alarm: &record.Alarm{
		Kind: record.AlarmNoSpace, Replica: p.folder.Replica(), Raised: raise,
	}})
}

// goneAfter is how long a node is not heard until its alarm no longer counts.
const goneAfter = 10 * time.Minute

// disarm clears the alarms of nodes that are gone: a node that died with a full disk can not do it, and would keep the
// region from growing for ever. A node that comes back raises its alarm again within seconds. A leader does it once it
// has led for long enough to know.
func (r *Region) disarm(ctx context.Context, p *parts, led time.Duration) {
	sum, err := p.store.Summary()
	if err != nil || led < goneAfter {
		return
	}
	for _, replica := range goneNodes(sum.Alarms, p.folder.Members(), r.LastHeard) {
		r.log.Warn("the alarm of a node that is gone is cleared", "replica", replica)
		r.duty(ctx, "clearing the alarm of a node that is gone", record.Op{Type: record.OpAlarm, Alarm: &record.Alarm{
			Kind: record.AlarmNoSpace, Replica: replica, Raised: false,
		}})
	}
}

// goneNodes lists the replicas with a raised alarm that were not heard for goneAfter, or never.
func goneNodes(alarms []state.Alarm, members map[string]uint64, heard func(string) (time.Duration, bool)) []uint64 {
	var gone []uint64
	for _, a := range alarms {
		alive := false
		for name, replica := range members {
			if ago, ok := heard(name); replica == a.Replica && ok && ago < goneAfter {
				alive = true
			}
		}
		if !alive && a.Kind == record.AlarmNoSpace {
			gone = append(gone, a.Replica)
		}
	}
	return gone
}
