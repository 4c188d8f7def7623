// Command restore measures what it takes to bring back a revision of a long history. It fills a server,
// backs it up, removes it with its data, restores a revision in the midst of the history, and starts a server on
// that. At that revision and at earlier ones all keys must have the hash that they had before.
//
//	cd bench && go run ./restore -gib 5
//
// It takes twice the size of the history on the disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"balsa.example/bench/service"
)

func main() {
	var o options
	gib := flag.Float64("gib", 5, "size of the history in GiB")
	flag.IntVar(&o.value, "value-size", 32<<10, "size of a value in bytes")
	flag.IntVar(&o.keys, "keys", 10_000, "keys, which are written again and again")
	flag.StringVar(&o.dir, "dir", "", "folder for all files; must not exist (default: a temporary one, which is removed)")
	flag.StringVar(&o.program, "balsa", "", "the balsa to run (default: built from the module around)")
	flag.Parse()
	o.size = int64(*gib * (1 << 30))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "restore:", err)
		os.Exit(1)
	}
}

type options struct {
	dir, program string
	size         int64 // of the history, bytes
	keys, value  int
}

// run makes the folder, and balsa, and measures.
func run(ctx context.Context, o options, w io.Writer) (err error) {
	if o.size < int64(o.value) || o.keys < 1 || o.value < 1 {
		return errors.New("the history must have room for a value, and there must be a key")
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "balsa-restore-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	} else if err := os.Mkdir(o.dir, 0o755); err != nil {
		return err
	}
	if o.program == "" {
		o.program = filepath.Join(o.dir, "balsa")
		if err := service.Build(ctx, o.program); err != nil {
			return err
		}
	}
	return (&measurement{options: o, w: w}).run(ctx)
}
