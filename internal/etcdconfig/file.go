package etcdconfig

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// sections are the nested parts of etcd's file, and the flags that their keys stand for.
var sections = map[string]map[string]string{
	"client-transport-security": {
		"cert-file": "cert-file", "key-file": "key-file", "client-cert-file": "client-cert-file", "client-key-file": "client-key-file",
		"client-cert-auth": "client-cert-auth", "trusted-ca-file": "trusted-ca-file", "auto-tls": "auto-tls",
		"allowed-hostname": "client-cert-allowed-hostname",
	},
	"peer-transport-security": {
		"cert-file": "peer-cert-file", "key-file": "peer-key-file", "client-cert-file": "peer-client-cert-file", "client-key-file": "peer-client-key-file",
		"client-cert-auth": "peer-client-cert-auth", "trusted-ca-file": "peer-trusted-ca-file", "auto-tls": "peer-auto-tls",
		"allowed-cn": "peer-cert-allowed-cn", "allowed-hostname": "peer-cert-allowed-hostname",
		"skip-client-san-verification": "peer-skip-client-san-verification",
	},
	"discovery-config": {"token": "discovery-token", "endpoints": "discovery-endpoints"},
	"socket-options":   {"reuse-port": "socket-reuse-port", "reuse-address": "socket-reuse-address"},
}

// flagsOnly are flags that etcd's file does not have. Its sample file has the first one.
var flagsOnly = []string{"discovery-fallback", "config-file", "version"}

// fromFile reads a configuration file. Like etcd it takes nothing from other sources then.
func fromFile(path string, given *flag.FlagSet, env map[string]string) (*Options, *flag.FlagSet, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, usageError("read configuration file: %w", err)
	}
	o := &Options{configFile: path}
	var others []string
	given.Visit(func(f *flag.Flag) {
		if f.Name != "config-file" {
			others = append(others, "--"+f.Name)
		}
	})
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if name != "ETCD_CONFIG_FILE" && !ofKubernetes(name) {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		o.warn("the configuration file %s is used alone; these are ignored: %s", path, strings.Join(others, ", "))
	}
	fs := o.checkedFlags()
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, nil, usageError("configuration file %s is not of the form key: value: %w", path, err)
	}
	keys, ok := o.pairs(&document)
	if !ok {
		return nil, nil, usageError("configuration file %s is not of the form key: value", path)
	}
	return o, fs, o.setAll(fs, "", keys, nil)
}

// pairs are the keys of a mapping and their values; none of what is empty. Of a key that comes again the last one counts,
// as in etcd.
func (o *Options) pairs(node *yaml.Node) (keys map[string]*yaml.Node, ok bool) {
	switch {
	case node.Kind == yaml.DocumentNode && len(node.Content) == 1:
		return o.pairs(node.Content[0])
	case node.Kind == yaml.AliasNode:
		return o.pairs(node.Alias)
	case node.Kind == 0, node.Tag == "!!null":
		return nil, true
	case node.Kind != yaml.MappingNode:
		return nil, false
	}
	keys = map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if keys[key.Value] != nil {
			o.warn("configuration file: line %d: %s comes again, and only this one counts", key.Line, key.Value)
		}
		keys[key.Value] = node.Content[i+1]
	}
	return keys, true
}

// setAll sets the flags that keys stand for. names gives their names, if they are others.
func (o *Options) setAll(fs *flag.FlagSet, section string, keys map[string]*yaml.Node, names map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		node, name := keys[key], strings.ToLower(key)
		if inner, ok := sections[name]; ok && section == "" {
			parts, ok := o.pairs(node)
			if !ok {
				return usageError("configuration file: line %d: %s must be of the form key: value", node.Line, key)
			}
			if err := o.setAll(fs, key+".", parts, inner); err != nil {
				return err
			}
			continue
		}
		if names != nil {
			name = names[name]
		}
		f := fs.Lookup(name)
		if f == nil || slices.Contains(flagsOnly, name) {
			o.warn("configuration file: %s%s is not known, and ignored", section, key)
			continue
		}
		source := fmt.Sprintf("configuration file: line %d: %s%s", node.Line, section, key)
		value, ok := scalar(node)
		if !ok {
			return usageError("%s must be a single value", source)
		}
		if value == "" {
			continue
		}
		if err := o.set(fs, name, inFlagsForm(f, value), source); err != nil {
			return err
		}
	}
	return nil
}

// inFlagsForm makes of a duration what the flag takes: a file gives it in nanoseconds.
func inFlagsForm(f *flag.Flag, value string) string {
	isDuration := false
	switch v := f.Value.(*checked).Value.(type) {
	case *otherValue:
		isDuration = v.other.kind == duration
	case flag.Getter:
		_, isDuration = v.Get().(time.Duration)
	}
	if n, err := strconv.ParseInt(value, 10, 64); isDuration && err == nil {
		return time.Duration(n).String()
	}
	return value
}

// scalar is one value as text, if it is one. A list of texts becomes one text with commas, as flags
// take it.
func scalar(node *yaml.Node) (text string, ok bool) {
	if node.Kind == yaml.SequenceNode {
		var several []string
		err := node.Decode(&several)
		return strings.Join(several, ","), err == nil
	}
	if node.Tag == "!!null" {
		return "", true
	}
	var number float64
	if node.Tag == "!!float" && node.Decode(&number) == nil && number == math.Trunc(number) && math.Abs(number) < 1<<53 {
		return strconv.FormatInt(int64(number), 10), true // to etcd 100.0 is 100
	}
	err := node.Decode(&text)
	return text, err == nil
}
