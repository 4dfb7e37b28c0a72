package region

import (
	"context"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
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
	tick := time.NewTicker(diskEvery)
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
