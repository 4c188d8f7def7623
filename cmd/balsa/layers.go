package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// layer sets the flags that the command line left alone: from the environment, and
// where that says nothing, from the configuration file. A flag --some-thing is
// BALSA_SOME_THING there; those that mean the same in etcd may be ETCD_SOME_THING
// too.
func layer(flags *pflag.FlagSet, env func(string) (string, bool), file map[string]string) error {
	var errs []error
	set := func(f *pflag.Flag, value, source string) {
		if err := f.Value.Set(value); err != nil {
			errs = append(errs, usageError("%s: invalid value %q: %v", source, value, err))
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
	for key := range file {
		if flags.Lookup(key) == nil {
			errs = append(errs, usageError("configuration file: unknown key %q", key))
		}
	}
	return errors.Join(errs...)
}

// sharedWithEtcd marks a flag that means what it means in etcd.
const sharedWithEtcd = "etcd"

func envNames(f *pflag.Flag) []string {
	suffix := strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
	names := []string{"BALSA_" + suffix}
	if _, ok := f.Annotations[sharedWithEtcd]; ok {
		names = append(names, "ETCD_"+suffix)
	}
	return names
}

// transportSections are the two nested parts of etcd's configuration file, and what
// their keys are called as flags.
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

// readConfigFile reads a YAML file with the keys of etcd's, which are the names of
// the flags, into one value for each flag.
func readConfigFile(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError("read configuration file: %w", err)
	}
	var raw map[string]yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&raw); err != nil && !errors.Is(err, io.EOF) {
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

func readSection(values map[string]string, name string, section map[string]string, node *yaml.Node) error {
	var inner map[string]yaml.Node
	if err := node.Decode(&inner); err != nil {
		return fmt.Errorf("line %d: %s: %w", node.Line, name, err)
	}
	for key, n := range inner {
		flag, ok := section[key]
		if !ok {
			return fmt.Errorf("line %d: unknown key %q in %s", n.Line, key, name)
		}
		if err := readScalar(values, flag, name+"."+key, &n); err != nil {
			return err
		}
	}
	return nil
}

// readScalar takes one value as text. A list of texts becomes what its flag takes:
// the texts with commas between them.
func readScalar(values map[string]string, flag, key string, node *yaml.Node) error {
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
	return fmt.Errorf("line %d: %s must be a single value", node.Line, key)
}
