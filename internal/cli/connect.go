package cli

import "copyhold.dev/internal/client"

// client connects to the servers that the settings name.
func (c *cli) client(as client.Credential) (*client.Client, error) {
	s, err := c.settings(as)
	if err != nil {
		return nil, err
	}
	asking, err := client.Connect(c.http, s, as, c.flags.timeout)
	if err != nil {
		return nil, err
	}
	if c.command != nil {
		asking.Named = func(field string) string { return typed(c.command, field) }
	}
	return asking, nil
}

// settings resolves what a command needs that asks in this way.
func (c *cli) settings(as client.Credential) (client.Settings, error) {
	return client.Resolve(c.flags.Flags, c.getenv, as)
}
