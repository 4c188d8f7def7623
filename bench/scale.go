package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"balsa.example/bench/scale"
	"balsa.example/bench/service"
)

// forScale are the flags that may be given with -scale.
var forScale = []string{"scale", "quick", "only", "out", "dir", "draw"}

// checkScale refuses flags that would be ignored, and compiles -only.
func (o *options) checkScale(f *flag.FlagSet, only string) error {
	var errs []error
	f.Visit(func(given *flag.Flag) {
		switch {
		case o.scale && !slices.Contains(forScale, given.Name):
			errs = append(errs, fmt.Errorf("-%s has no meaning with -scale", given.Name))
		case !o.scale && given.Name == "only":
			errs = append(errs, errors.New("-only has no meaning without -scale"))
		}
	})
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		errs = append(errs, fmt.Errorf("-only: %w", err))
	} else if len(scale.Names(o.only)) == 0 {
		errs = append(errs, fmt.Errorf("-only: %q matches none of %s", only, strings.Join(scale.Names(regexp.MustCompile("")), ", ")))
	}
	return errors.Join(errs...)
}

// runScale measures how costs grow, or shows an earlier measurement.
func runScale(ctx context.Context, o options, stdout, stderr io.Writer) error {
	if o.draw != "" {
		f, err := os.Open(o.draw)
		if err != nil {
			return err
		}
		defer f.Close()
		report, err := scale.Read(f)
		if err != nil {
			return err
		}
		return showScale(report, o.out, stdout)
	}
	service.CollectSeldom()
	report, err := measureScale(ctx, o, stderr)
	if report == nil || len(report.Series) == 0 {
		return err
	}
	return errors.Join(err, showScale(report, o.out, stdout))
}

func measureScale(ctx context.Context, o options, stderr io.Writer) (report *scale.Report, err error) {
	err = o.withWorkDir(func(dir string) error {
		program := filepath.Join(dir, "balsa")
		if err := buildProgram(ctx, balsaProgram, program, stderr); err != nil {
			return err
		}
		machine, err := describeMachine(dir)
		if err != nil {
			return err
		}
		report = &scale.Report{Began: time.Now().Round(time.Second), Machine: machine}
		fmt.Fprintf(stderr, "load average %.2f, sync %s\n", machine.Load[0], machine.Sync)
		runner := &scale.Runner{Program: program, Dir: dir, Quick: o.quick, Progress: stderr, LoadAverage: loadAverage}
		err = runner.Run(ctx, o.only, report)
		report.Machine.Load[1] = loadAverage()
		return err
	})
	return report, err
}

// showScale prints the tables, and writes everything to the directory out.
func showScale(report *scale.Report, out string, stdout io.Writer) error {
	if err := writeAll(out, "scale.json", report.Write, "scale.md", report.WriteTables, report.Figures()); err != nil {
		return err
	}
	return report.WriteTables(stdout)
}
