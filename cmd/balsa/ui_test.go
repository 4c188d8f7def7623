package main

import (
	"testing"

	"github.com/spf13/pflag"

	"balsa.example/internal/server"
)

func TestWhetherThereIsADashboard(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want server.UI
	}{
		{nil, server.LookUI},
		{[]string{"--ui-writes"}, server.ChangeUI},
		{[]string{"--ui=false"}, server.NoUI},
		{[]string{"--ui=false", "--ui-writes"}, server.NoUI},
	} {
		var u uiFlags
		f := pflag.NewFlagSet("test", pflag.ContinueOnError)
		u.addFlags(f)
		if err := f.Parse(tt.args); err != nil || u.of() != tt.want {
			t.Errorf("%v: %d, %v, want %d", tt.args, u.of(), err, tt.want)
		}
	}
}

// In place of etcd there is none unless it is asked for.
func TestWhetherThereIsADashboardInPlaceOfEtcd(t *testing.T) {
	for _, tt := range []struct {
		show, writes string
		want         server.UI
		bad          bool
	}{
		{want: server.NoUI}, {show: "true", want: server.LookUI}, {show: "true", writes: "true", want: server.ChangeUI},
		{writes: "true", want: server.NoUI}, {show: "perhaps", bad: true},
	} {
		values := map[string]string{"BALSA_UI": tt.show, "BALSA_UI_WRITES": tt.writes}
		var cfg server.Config
		err := balsasOwn(&cfg, func(name string) (string, bool) { return values[name], values[name] != "" })
		if cfg.UI != tt.want || (err != nil) != tt.bad {
			t.Errorf("%v: %d, %v", values, cfg.UI, err)
		}
	}
}

// etcd takes as many connections as there are open files, and some clusters have more clients than the default.
func TestHowManyConnectionsThereAreInPlaceOfEtcd(t *testing.T) {
	for value, want := range map[string]int{"": 0, "20000": 20000, "0": -1, "-5": -1, "many": -1} {
		var cfg server.Config
		err := balsasOwn(&cfg, func(name string) (string, bool) {
			return value, name == "BALSA_MAX_CLIENT_CONNECTIONS" && value != ""
		})
		if (err != nil) != (want < 0) || want >= 0 && cfg.Clients.Connections != want {
			t.Errorf("%q: %d, %v", value, cfg.Clients.Connections, err)
		}
	}
}
