package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"balsa.example/internal/server"
)

// uiFlags are the flags of the dashboard.
type uiFlags struct{ show, writes bool }

func (u *uiFlags) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&u.show, "ui", true, "show the dashboard at /ui of the client port")
	f.BoolVar(&u.writes, "ui-writes", false, "let the dashboard change keys, leases and members, for those who may")
}

func (u *uiFlags) of() server.UI {
	switch {
	case !u.show:
		return server.NoUI
	case u.writes:
		return server.ChangeUI
	}
	return server.LookUI
}

// uiOfEtcd is whether "balsa etcd" shows the dashboard: etcd has no flags for it, so variables say so.
func uiOfEtcd(env func(string) (string, bool)) (server.UI, error) {
	var u uiFlags
	f := pflag.NewFlagSet("etcd", pflag.ContinueOnError)
	u.addFlags(f)
	u.show = false
	if err := layer(f, env, nil); err != nil {
		return server.NoUI, err
	}
	return u.of(), nil
}

// hint tells of the dashboard.
func (u *uiFlags) hint(configs []server.Config) string {
	if !u.show {
		return ""
	}
	return fmt.Sprintf("Or look, with a browser: %s/ui\n\n", configs[0].ListenClient[0])
}
