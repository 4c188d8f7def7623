package raft

// configurations are those in force along the log, by rising index: one in force at the log's
// base, and one for each EntryConfiguration behind it. A node uses the latest one in its log,
// committed or not (paper, section 6).
type configurations []configurationAt

type configurationAt struct {
	index         Index
	configuration Configuration
}

func newConfigurations(s State) (configurations, error) {
	c := configurations{{s.Snapshot.Index, s.Snapshot.Configuration}}
	return c, c.append(s.Entries)
}

func (c configurations) latest() Configuration { return c[len(c)-1].configuration }

// at returns the configuration in force at i.
func (c configurations) at(i Index) Configuration {
	k := len(c) - 1
	for k > 0 && c[k].index > i {
		k--
	}
	return c[k].configuration
}

// append adds the configurations among entries.
func (c *configurations) append(entries []Entry) error {
	for _, e := range entries {
		if e.Kind != EntryConfiguration {
			continue
		}
		conf, _, err := DecodeConfiguration(e.Data)
		if err != nil {
			return err
		}
		*c = append(*c, configurationAt{e.Index, conf})
	}
	return nil
}

// truncate drops those from i on.
func (c *configurations) truncate(i Index) {
	for len(*c) > 1 && (*c)[len(*c)-1].index >= i {
		*c = (*c)[:len(*c)-1]
	}
}

// compact drops those that a later one at or below i replaces.
func (c *configurations) compact(i Index) {
	for len(*c) > 1 && (*c)[1].index <= i {
		*c = (*c)[1:]
	}
}
