package otlp

import "testing"

func TestWhatTheVariablesOfOpenTelemetrySay(t *testing.T) {
	for _, c := range []struct {
		env    map[string]string
		wanted bool
		sample float64
		said   bool
	}{
		{map[string]string{}, false, 0, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, true, 0, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, true, 0, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_SDK_DISABLED": "true"}, false, 0, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "none"}, false, 0, false},
		{map[string]string{"OTEL_TRACES_SAMPLER": "always_on"}, false, 1, true},
		{map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, false, 0, true},
		{map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, false, 0.25, true},
		{map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio"}, false, 1, true},
		{map[string]string{"OTEL_TRACES_SAMPLER": "another"}, false, 0, false},
	} {
		env := func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }
		sample, said := Sample(env)
		if Wanted(env) != c.wanted || sample != c.sample || said != c.said {
			t.Errorf("%v: wanted %t, share %v, %t", c.env, Wanted(env), sample, said)
		}
	}
}
