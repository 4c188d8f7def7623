package etcdconfig

import (
	"flag"
	"fmt"
	"time"
)

// badValue is a value that a flag does not take.
type badValue struct{ name, value, why string }

func (b *badValue) from(source string) error {
	return fmt.Errorf("%s is %q; %s", source, b.value, b.why)
}

// checked is the value of a flag, of which wrong ones are noted: package flag would say what is wrong
// in words of Go's library, and not whether it came from the command line.
type checked struct {
	flag.Value
	name string
	o    *Options
}

func (c *checked) IsBoolFlag() bool {
	b, ok := c.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

func (c *checked) Set(value string) error {
	if err := c.Value.Set(value); err != nil && c.o.bad == nil {
		c.o.bad = &badValue{c.name, value, c.must(err)}
	}
	return nil
}

// must says what values the flag takes.
func (c *checked) must(err error) string {
	const (
		whole     = "it must be a whole number that is not negative"
		aDuration = "it must be a duration such as 500ms, 5s or 2m"
	)
	if other, ok := c.Value.(*otherValue); ok {
		switch other.other.kind {
		case number:
			return whole
		case duration:
			return aDuration
		case boolean:
			return "it must be true or false"
		}
	}
	if getter, ok := c.Value.(flag.Getter); ok {
		switch getter.Get().(type) {
		case bool:
			return "it must be true or false"
		case uint:
			return whole
		case time.Duration:
			return aDuration
		case int, int64:
			return "it must be a whole number"
		}
	}
	return fmt.Sprint(err)
}

// checkedFlags are all flags, whose wrong values are noted in o.bad.
func (o *Options) checkedFlags() *flag.FlagSet {
	fs := o.FlagSet()
	fs.VisitAll(func(f *flag.Flag) { f.Value = &checked{f.Value, f.Name, o} })
	return fs
}

// set gives a flag a value from a source.
func (o *Options) set(fs *flag.FlagSet, name, value, source string) error {
	fs.Set(name, value) // which never fails: see checked
	bad := o.bad
	if o.bad = nil; bad != nil {
		return usageError("%w", bad.from(source))
	}
	return nil
}
