package replica

import (
	"slices"
	"strings"
	"testing"

	"balsa.example/api"
	"balsa.example/rsm"
	"balsa.example/state"
)

func TestDamageIsAnAlarm(t *testing.T) {
	if got := alarms(rsm.Status{}, state.Figures{Damaged: 1}, false, nil); !slices.Equal(got, []api.Alarm{api.Alarm_DAMAGED}) {
		t.Errorf("alarms %v", got)
	}
	if got := alarms(rsm.Status{}, state.Figures{Repaired: 1}, false, nil); len(got) > 0 {
		t.Errorf("alarms %v, and all was repaired", got)
	}
}

func TestRaisedAlarmsAreTold(t *testing.T) {
	for _, tt := range []struct {
		kind state.AlarmKind
		want []api.Alarm
		text string
	}{
		{state.AlarmNoSpace, []api.Alarm{api.Alarm_NO_SPACE}, "no more data is taken"},
		{state.AlarmCorrupt, []api.Alarm{api.Alarm_CORRUPT}, "no writes are taken"},
		{7, nil, ""},
	} {
		raised := []state.Alarm{{Member: 3, Kind: tt.kind}}
		if got := alarms(rsm.Status{}, state.Figures{}, false, raised); !slices.Equal(got, tt.want) {
			t.Errorf("kind %d: alarms %v, want %v", tt.kind, got, tt.want)
		}
		if got := alarmText(false, 0, raised); !strings.Contains(got, tt.text) || tt.text == "" && got != "" {
			t.Errorf("kind %d: %q, want %q in it", tt.kind, got, tt.text)
		}
	}
}
