package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// layer sets the flags that the command line does not set: from the environment, else from the
// configuration file. A flag --some-thing is BALSA_SOME_THING in the environment. A flag that means
// the same in etcd may be ETCD_SOME_THING too.
func layer(flags *pflag.FlagSet, env func(string) (string, bool), file map[string]string) error {
	var errs []error
	set := func(f *pflag.Flag, value, source string) {
		if err := f.Value.Set(value); err != nil {
			errs = append(errs, invalidValue(source, f, value, err))
			return
		}
		f.Changed = true
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" {
			return
		}
		for _, name := range envNames(f) {
			if value, ok := env(name); ok && value != "" {
				set(f, value, name)
				return
			}
		}
		if value, ok := file[f.Name]; ok {
			set(f, value, "configuration file: "+f.Name)
		}
	})
	for _, key := range slices.Sorted(maps.Keys(file)) {
		if flags.Lookup(key) == nil {
			errs = append(errs, usageError("configuration file: unknown key %q%s", key, didYouMean(key, keysOf(flags))))
		}
	}
	return errors.Join(errs...)
}

// keysOf returns the keys that a configuration file may have.
func keysOf(flags *pflag.FlagSet) []string {
	keys := slices.Collect(maps.Keys(transportSections))
	flags.VisitAll(func(f *pflag.Flag) { keys = append(keys, f.Name) })
	return keys
}

// sharedWithEtcd is the annotation of a flag that means the same in etcd.
const sharedWithEtcd = "etcd"

func envNames(f *pflag.Flag) []string {
	suffix := strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
	names := []string{"BALSA_" + suffix}
	if _, ok := f.Annotations[sharedWithEtcd]; ok {
		names = append(names, "ETCD_"+suffix)
	}
	return names
}

// transportSections are the two nested sections of etcd's configuration file, and the flags that
// their keys stand for.
var transportSections = map[string]map[string]string{
	"client-transport-security": {
		"cert-file": "cert-file", "key-file": "key-file",
		"trusted-ca-file": "trusted-ca-file", "client-cert-auth": "client-cert-auth",
		"allowed-hostname": "client-cert-allowed-hostname",
	},
	"peer-transport-security": {
		"cert-file": "peer-cert-file", "key-file": "peer-key-file",
		"trusted-ca-file": "peer-trusted-ca-file", "client-cert-auth": "peer-client-cert-auth",
		"allowed-cn": "peer-cert-allowed-cn", "allowed-hostname": "peer-cert-allowed-hostname",
	},
}

// readConfigFile reads a YAML file with the keys of etcd's file, which are the names of flags, into
// one value for each flag.
func readConfigFile(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError("read configuration file: %w", err)
	}
	raw, err := decodeMapping(data)
	if err != nil {
		return nil, usageError("configuration file %s: %w", path, err)
	}
	values := make(map[string]string)
	for key, node := range raw {
		if section, ok := transportSections[key]; ok {
			err = readSection(values, key, section, &node)
		} else {
			err = readScalar(values, key, key, &node)
		}
		if err != nil {
			return nil, usageError("configuration file %s: %w", path, err)
		}
	}
	return values, nil
}

// decodeMapping reads the one document of a file, which must be a mapping. An empty file has no
// keys.
func decodeMapping(data []byte) (map[string]yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, fmt.Errorf("line %d: a second document begins; there must be only one", second.Line)
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return mapping(document.Content[0], "the file")
}

// mapping returns the keys and values of a node.
func mapping(node *yaml.Node, what string) (map[string]yaml.Node, error) {
	if node.Tag == "!!null" {
		return nil, nil
	}
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: %s must be of the form key: value", node.Line, what)
	}
	inner := make(map[string]yaml.Node)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if _, twice := inner[key.Value]; twice {
			return nil, fmt.Errorf("line %d: key %q is there twice", key.Line, key.Value)
		}
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		inner[key.Value] = *value
	}
	return inner, nil
}

func readSection(values map[string]string, name string, section map[string]string, node *yaml.Node) error {
	inner, err := mapping(node, name)
	if err != nil {
		return err
	}
	for key, n := range inner {
		flag, ok := section[key]
		if !ok {
			return fmt.Errorf("line %d: unknown key %q in %s%s", n.Line, key, name, didYouMean(key, slices.Collect(maps.Keys(section))))
		}
		if err := readScalar(values, flag, name+"."+key, &n); err != nil {
			return err
		}
	}
	return nil
}

// readScalar reads one value as text. A list of texts becomes one text with commas, as flags take
// it.
func readScalar(values map[string]string, flag, key string, node *yaml.Node) error {
	if _, twice := values[flag]; twice {
		return fmt.Errorf("line %d: %s is set twice", node.Line, key)
	}
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag != "!!null" {
			values[flag] = node.Value
		}
		return nil
	case yaml.SequenceNode:
		notScalar := func(n *yaml.Node) bool { return n.Kind != yaml.ScalarNode }
		if !slices.ContainsFunc(node.Content, notScalar) {
			var parts []string
			for _, n := range node.Content {
				parts = append(parts, n.Value)
			}
			values[flag] = strings.Join(parts, ",")
			return nil
		}
	}
	return fmt.Errorf("line %d: %s must be a single value%s", node.Line, key, didYouMean(key, slices.Collect(maps.Keys(transportSections))))
}
