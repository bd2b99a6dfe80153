package main

// figures lists what is measured, in the order of the table.
func figures() []figure {
	return []figure{
		{"verify", measureVerify},
	}
}
