package etcd_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
)

func TestRequestsWaitForTheStart(t *testing.T) {
	soon := func(d time.Duration, f func()) { time.AfterFunc(d, f) }
	for name, test := range map[string]struct {
		deadline time.Duration
		then     func(*etcd.Entrance)
		want     error
		after    time.Duration
	}{
		"opened in time": {time.Minute, func(e *etcd.Entrance) { soon(3*time.Second, func() { e.Open(&etcd.Face{}) }) }, nil, 3 * time.Second},
		"deadline":       {2 * time.Second, func(*etcd.Entrance) {}, context.DeadlineExceeded, 2 * time.Second},
		"stopped":        {time.Minute, func(e *etcd.Entrance) { soon(time.Second, e.Close) }, translate.ErrStopped, time.Second},
		"never":          {time.Minute, func(*etcd.Entrance) {}, &translate.Error{Code: translate.Unavailable, Text: "etcdserver: waiting for n3"}, 7 * time.Second},
		"refused": {time.Minute, func(e *etcd.Entrance) { e.Refuse(errors.New("a witness")) },
			&translate.Error{Code: translate.Unavailable, Text: "etcdserver: a witness"}, 0},
		"stopped before": {time.Minute, (*etcd.Entrance).Close, translate.ErrStopped, 0},
		"opened before":  {time.Minute, func(e *etcd.Entrance) { e.Open(&etcd.Face{}) }, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := etcd.NewEntrance(func() string { return "waiting for n3" })
				ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
				defer cancel()
				test.then(e)
				begin := time.Now()
				f, err := e.Face(ctx)
				var got, want *translate.Error
				same := errors.Is(err, test.want) || errors.As(err, &got) && errors.As(test.want, &want) && *got == *want
				if !same || (f != nil) != (err == nil) || time.Since(begin) != test.after {
					t.Errorf("%v, %v after %s", f, err, time.Since(begin))
				}
			})
		})
	}
}
