package replica

import (
	"slices"
	"testing"

	"balsa.example/api"
	"balsa.example/rsm"
	"balsa.example/state"
)

func TestDamageIsAnAlarm(t *testing.T) {
	if got := alarms(rsm.Status{}, state.Figures{Damaged: 1}, false); !slices.Equal(got, []api.Alarm{api.Alarm_DAMAGED}) {
		t.Errorf("alarms %v", got)
	}
	if got := alarms(rsm.Status{}, state.Figures{Repaired: 1}, false); len(got) > 0 {
		t.Errorf("alarms %v, and all was repaired", got)
	}
}
