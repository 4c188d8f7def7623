// Package series keeps what was scraped in memory, and lets Prometheus' own engine evaluate expressions over
// it, as of times that the caller says.
package series

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Storage is series by their names, which are their labels as text. It is a storage.Queryable.
type Storage map[string]*promql.Series

// Add adds a value to the series of a name, which begins with it if there is none. Times are in
// milliseconds, and never go back.
func (s Storage) Add(name string, l labels.Labels, at int64, v float64) {
	if s[name] == nil {
		s[name] = &promql.Series{Metric: l}
	}
	s[name].Floats = append(s[name].Floats, promql.FPoint{T: at, F: v})
}

// Clone is a storage that goes on from here.
func (s Storage) Clone() Storage {
	next := Storage{}
	for name, one := range s {
		next[name] = &promql.Series{Metric: one.Metric, Floats: slices.Clone(one.Floats)}
	}
	return next
}

// Querier makes a Storage a storage.Queryable.
func (s Storage) Querier(from, to int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		found := &set{at: -1}
		for _, name := range slices.Sorted(maps.Keys(s)) {
			one := s[name]
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.Metric.Get(m.Name)) }) {
				found.series = append(found.series, promql.NewStorageSeries(*one))
			}
		}
		return found
	}}, nil
}

// set is a storage.SeriesSet.
type set struct {
	series []storage.Series
	at     int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// NewEngine is an engine as Prometheus has it by default, with a bound on the time of an evaluation.
func NewEngine(timeout time.Duration) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1 << 24, Timeout: timeout, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
	})
}

// Query evaluates an expression as of a time.
func (s Storage) Query(ctx context.Context, engine *promql.Engine, expr string, at time.Time) (promql.Vector, error) {
	q, err := engine.NewInstantQuery(ctx, s, nil, expr, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	v, err := q.Exec(ctx).Vector()
	return slices.Clone(v), err
}

// Parse tells of each value in the answer to a scrape.
func Parse(answer []byte, each func(l labels.Labels, v float64)) error {
	for p := textparse.NewPromParser(answer, labels.NewSymbolTable(), false); ; {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry == textparse.EntrySeries {
			var l labels.Labels
			p.Labels(&l)
			_, _, v := p.Series()
			each(l, v)
		}
	}
}

// ComparedSides are the expressions that an alert compares with each other or with numbers.
func ComparedSides(e parser.Expr) []parser.Expr {
	if e.Type() == parser.ValueTypeScalar {
		return nil
	}
	switch e := e.(type) {
	case *parser.ParenExpr:
		return ComparedSides(e.Expr)
	case *parser.BinaryExpr:
		sides := e.Op.IsSetOperator() || e.Op.IsComparisonOperator() && !e.ReturnBool
		if sides {
			return append(ComparedSides(e.LHS), ComparedSides(e.RHS)...)
		}
	}
	return []parser.Expr{e}
}
