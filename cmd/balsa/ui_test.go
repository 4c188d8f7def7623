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
		got, err := uiOfEtcd(func(name string) (string, bool) { return values[name], values[name] != "" })
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%v: %d, %v", values, got, err)
		}
	}
}
