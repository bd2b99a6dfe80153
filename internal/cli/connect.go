package cli

import "copyhold.dev/internal/client"

// client returns a client for the servers in the settings.
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

// settings resolves the settings for a command that uses this credential.
func (c *cli) settings(as client.Credential) (client.Settings, error) {
	return client.Resolve(c.flags.Flags, c.getenv, as)
}
