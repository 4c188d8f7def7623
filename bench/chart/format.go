package chart

import "strconv"

// Number writes 20000 as 20k.
func Number(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= unit.size {
			return strconv.FormatFloat(v/unit.size, 'g', 3, 64) + unit.name
		}
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// Seconds writes 0.002 seconds as 2 ms.
func Seconds(seconds float64) string {
	switch {
	case seconds >= 1:
		return strconv.FormatFloat(seconds, 'g', 3, 64) + " s"
	case seconds >= 1e-3:
		return strconv.FormatFloat(seconds*1e3, 'g', 3, 64) + " ms"
	default:
		return strconv.FormatFloat(seconds*1e6, 'g', 3, 64) + " µs"
	}
}
