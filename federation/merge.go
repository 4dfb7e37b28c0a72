package federation

import "supercluster/federation/feed"

// mergeable counts the batches at the front that may go together: they have records, and fit into one entry.
func mergeable(messages []*feed.Message) int {
	n, size := 0, 0
	for ; n < len(messages); n++ {
		b := messages[n].Batch
		if b == nil || len(b.Records) == 0 || len(b.Document) > 0 {
			break
		}
		if size += messages[n].Size(); n > 0 && size > feed.MaxBatchBytes {
			break
		}
	}
	return max(n, 1)
}

func merge(messages []*feed.Message) *feed.Message {
	if len(messages) == 1 {
		return messages[0]
	}
	last := *messages[len(messages)-1]
	batch := *last.Batch
	batch.Records = nil
	for _, m := range messages {
		batch.Records = append(batch.Records, m.Batch.Records...)
		if m.Batch.Stamp != 0 {
			batch.Stamp, batch.AgeNanos = m.Batch.Stamp, m.Batch.AgeNanos
		}
	}
	last.Batch = &batch
	return &last
}
