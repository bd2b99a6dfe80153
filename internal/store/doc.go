// Package store contains all SQL. One text serves both SQLite and PostgreSQL; an Engine describes
// their few differences. The package stores rows and makes no decisions. Package licensing has the
// rules, and package authority connects the two. Update and View are the only ways to use a
// database, so no caller can forget to commit, roll back or retry.
package store
