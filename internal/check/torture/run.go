package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/check/history"
)

// torture is one run.
type torture struct {
	ctx     context.Context // ends when the run is interrupted
	o       options
	c       *cluster
	rng     *rand.Rand
	ck      *clerk.Clerk // reaches the servers without proxies
	load    *load
	report  *report
	changes *changes
	began   time.Time
}

// progressEvery is how often the run prints its progress.
const progressEvery = 10 * time.Second

// run does all that the options ask for. It leaves only the folder.
func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "balsa-torture-"); err != nil {
			return err
		}
	} else if err := os.Mkdir(o.dir, 0o755); err != nil {
		return err
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if o.binary == "" {
		if o.binary, err = build(o.dir, o.withoutSync); err != nil {
			return err
		}
	}
	if o.older != "" {
		if o.older, err = olderProgram(o.dir, o.older); err != nil {
			return err
		}
	}
	if o.netns {
		if err := settleNetns(o.dir); err != nil {
			return fmt.Errorf("%w: %w", errNoNetns, err)
		}
	}
	fmt.Printf("seed %d, folder %s\n", o.seed, o.dir)
	t := &torture{ctx: ctx, o: o, rng: rand.New(rand.NewPCG(o.seed, 0)), report: newReport(o), began: time.Now()}
	err = t.runAndCleanUp()
	return errors.Join(err, t.finish(err))
}

// runAndCleanUp runs, and ends all processes and mounts, also if the run fails or panics.
func (t *torture) runAndCleanUp() (err error) {
	defer func() {
		if t.ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		failed := err != nil && t.ctx.Err() == nil
		if err = errors.Join(err, t.c.close(failed)); err == nil && !t.o.needsDisks() {
			err = t.c.inOrder(t.c.members...)
		}
	}()
	if t.o.netns {
		t.c, err = newNetnsCluster(t.o.binary, t.o.dir, t.o.nodes, t.o.serveFlags())
	} else if t.o.changes > 0 || t.o.older != "" {
		t.c, err = newLoopbackCluster(t.o.binary, t.o.dir, t.o.nodes, t.o.serveFlags(), t.o.seed)
	} else {
		t.c, err = newCluster(t.o.binary, t.o.dir, t.o.nodes, t.o.serveFlags(), t.o.seed, t.o.needsDisks())
	}
	if err != nil {
		return err
	}
	return t.run()
}

// run injects all faults under load, and then checks the histories of the clients.
func (t *torture) run() (err error) {
	t.c.older = t.o.older
	for _, m := range t.c.members {
		m.older = t.o.older != ""
		if err := t.c.start(m); err != nil {
			return err
		}
	}
	if t.ck, err = clerk.New(t.c.direct()); err != nil {
		return err
	}
	defer func() { t.ck.Close() }()
	if err := t.waitReady(); err != nil {
		return err
	}
	if t.load, err = startLoad(t.ctx, t.c.endpoints(), t.o); err != nil {
		return err
	}
	t.changes = newChanges(t)
	if t.o.changes > 0 && t.o.older == "" {
		if err := t.changes.settled(); err != nil {
			return err
		}
	}
	stopProgress := t.printProgress()
	err = t.faults()
	stopProgress()
	stopped := t.c.stoppedByThemselves()
	loadErr := t.load.stop(t.ck)
	t.report.CorruptFrames = t.c.mentions("corrupt frame")
	if err != nil || loadErr != nil {
		return fmt.Errorf("under load: %w", errors.Join(err, stopped, loadErr))
	}
	if err := t.converge(); err != nil {
		return err
	}
	return t.check()
}

// waitReady waits until the cluster serves.
func (t *torture) waitReady() error {
	ctx, cancel := context.WithTimeout(t.ctx, 20*time.Second)
	defer cancel()
	if _, err := t.ck.Get(ctx, "ready"); err != nil && !errors.Is(err, clerk.ErrNoKey) {
		return fmt.Errorf("wait until the cluster serves: %w", err)
	}
	return nil
}

// printProgress prints a line every progressEvery, until stop is called.
func (t *torture) printProgress() (stop func()) {
	quit, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for before := int64(0); ; {
			select {
			case <-ticker.C:
				now := t.load.done.Load()
				fmt.Printf("%6.1fs  -- %.0f operations/s; %s\n", time.Since(t.began).Seconds(), float64(now-before)/progressEvery.Seconds(), t.report.progress())
				before = now
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-stopped }
}

// finish writes the report and prints the verdict.
func (t *torture) finish(err error) error {
	var sums totals
	if t.load != nil {
		sums = t.load.judge.sums()
	}
	t.report.Checked = t.c.checked
	t.report.close(err, sums, time.Since(t.began))
	if err != nil && !errors.Is(err, errNoDisks) && !errors.Is(err, errNoNetns) {
		for _, m := range t.c.members {
			fmt.Printf("--- the end of %s\n%s\n", m.log, m.tail(5))
		}
		var picture *history.NotLinearizableError
		if errors.As(err, &picture) {
			page := filepath.Join(t.o.dir, "history.html")
			if picture.Visualize(page) == nil {
				fmt.Printf("the history is drawn in %s\n", page)
			}
		}
		fmt.Printf("to repeat: %s\n", t.report.Command)
	}
	if err := t.report.write(t.o.dir); err != nil {
		return err
	}
	if err == nil {
		fmt.Println(t.report.line())
	}
	return nil
}
