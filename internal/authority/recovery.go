package authority

// opened returns an authority that recovery works with.
func opened(c Config) *Authority { return New(c) }
