package etcdconfig

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
)

func TestConsoleHasTheColumnsOfEtcd(t *testing.T) {
	var out bytes.Buffer
	o := &Options{LogLevel: "warn", LogFormat: "console"}
	h, err := o.Handler(&out)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h)
	log.Info("too low")
	log.Warn("a message")
	log.With("id", 5).WithGroup("g").Error("another\none", "level", "x", "took", "1s")
	o.Shown.Set(slog.LevelDebug)
	log.Debug("low enough", "level", "info")
	want := `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\S+	warn	etcdconfig/console_test.go:\d+	a message
\S+	error	etcdconfig/console_test.go:\d+	another\\none	{"id":5,"g":{"level":"x","took":"1s"}}
\S+	debug	etcdconfig/console_test.go:\d+	low enough	{"level":"info"}
$`
	if !regexp.MustCompile(want).Match(out.Bytes()) {
		t.Errorf("logged\n%s, want\n%s", &out, want)
	}
}
