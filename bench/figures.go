package main

// figures lists what is measured, in the order of the table.
func figures() []figure {
	return []figure{
		{"check", measureCheck},
		{"verify", measureVerify},
		{"validate", measureValidate},
		{"hot-sqlite", measureHot("SQLite", "", 0.6, 2)},
		{"hot-postgres", measureHot("PostgreSQL", "postgres", 0.5, 0)},
		{"alone", measureAlone},
		{"fill", measureFill},
		{"distinct", measureDistinct},
		{"streams", measureStreams},
		{"growth-sqlite", measureGrowth("SQLite", "")},
		{"growth-postgres", measureGrowth("PostgreSQL", "postgres")},
	}
}
