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

// hint tells of the dashboard.
func (u *uiFlags) hint(configs []server.Config) string {
	if !u.show {
		return ""
	}
	return fmt.Sprintf("Or look, with a browser: %s/ui\n\n", configs[0].ListenClient[0])
}
