package chart

import "testing"

func TestShortNumbers(t *testing.T) {
	for v, want := range map[float64]string{500: "500", 1000: "1k", 1500: "1.5k", 20_000: "20k", 5e6: "5M", 2.5e9: "2.5G"} {
		if got := Number(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0.00005: "50 µs", 0.002: "2 ms", 0.5: "500 ms", 1.5: "1.5 s"} {
		if got := Seconds(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}
