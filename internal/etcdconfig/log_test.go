package etcdconfig

import (
	"errors"
	"testing"
	"time"

	"balsa.example/internal/rotate"
)

func TestRotationIsAsSaid(t *testing.T) {
	const mb = 1 << 20
	for _, test := range []struct {
		args []string
		want *rotate.Config // nil: it is refused
	}{
		{[]string{"--log-outputs=a.log"}, &rotate.Config{MaxBytes: 100 * mb}},
		{[]string{"--log-outputs=stderr,a.log", `--log-rotation-config-json={"maxsize":5,"maxage":2,"maxbackups":3,"localtime":true,"compress":true}`},
			&rotate.Config{MaxBytes: 5 * mb, MaxAge: 48 * time.Hour, MaxBackups: 3, LocalTime: true, Compress: true}},
		{[]string{"--log-outputs=a.log", `--log-rotation-config-json={}`}, &rotate.Config{}},
		{nil, nil},
		{[]string{"--log-outputs=a.log,b.log"}, nil},
		{[]string{"--log-outputs=a.log", `--log-rotation-config-json={"maxsize":-1}`}, nil},
		{[]string{"--log-outputs=a.log", `--log-rotation-config-json={"maxsize":"x"}`}, nil},
		{[]string{"--log-outputs=a.log", `--log-rotation-config-json=x`}, nil},
	} {
		o, err := Parse(append(test.args, "--enable-log-rotation"), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := o.Rotation()
		if (got == nil) != (test.want == nil) || got != nil && *got != *test.want || (err != nil) != (test.want == nil) || err != nil && !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %+v, %v, want %+v", test.args, got, err, test.want)
		}
	}
	if o, err := Parse(nil, nil); err != nil {
		t.Fatal(err)
	} else if c, err := o.Rotation(); c != nil || err != nil {
		t.Errorf("nobody asked, and it is %+v, %v", c, err)
	}
}
