package run

import (
	"context"
	"errors"
	"io"
)

// Each reads the records of a run from about a revision on, in order, and checks each. It may begin
// with records of earlier revisions. A record, with its Key and Value, is good until each returns. If
// that returns false Each ends, with no error.
func (f Files) Each(info Info, from uint64, each func(*Record) bool) error {
	file, err := f.open(info.File)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := f.checkHeader(file, info); err != nil {
		return err
	}
	r, err := f.records(file, info, from)
	if err != nil {
		return err
	}
	var rec record
	for {
		switch err := r.next(&rec); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case !each(&rec.Record):
			return nil
		}
	}
}

// Cut writes the records of a run up to a revision, which the run covers, to a new file of other Files,
// and returns what is durable of that. A run that was not rewritten becomes one that is not sealed, and
// so the last of a history, with the chain hash that its history had at the revision. Of a rewritten
// one that hash is not known: the result is rewritten and sealed too, and its chain hash is that of the
// records that are left.
func (f Files) Cut(ctx context.Context, info Info, to Files, number uint32, revision uint64, pace func(bytes int)) (Info, error) {
	r := newRun(number, headerOf(to.Cluster, info))
	head, _ := r.header.encode()
	mem := newMemory(maxChunk, head[:])
	end := Mark{Chain: info.ChainBefore, offset: headerSize}
	err := f.Each(info, 0, func(rec *Record) bool {
		if rec.Mod > revision {
			return false
		}
		copied := *rec
		at := mem.size
		hash := copied.encode(mem.room(rec.size()), place(r.salt, at))
		end.Revision, end.Chain, end.offset = rec.Mod, link(end.Chain, hash), mem.size
		end.records++
		return ctx.Err() == nil
	})
	if err = errors.Join(err, ctx.Err()); err != nil {
		return Info{}, err
	}
	if info.Rewritten {
		end.Revision = revision
	}
	info, _, _, err = to.write(ctx, r, mem, end, info.Rewritten, pace)
	if err == nil {
		err = to.syncDir()
	}
	return info, err
}
