// Package store holds all SQL. One text serves SQLite and PostgreSQL; an
// Engine carries their few differences. It keeps rows and decides nothing:
// who may have what is for package licensing, and package authority joins the
// two. Update and View are the only ways in, so no caller can forget to
// commit, to roll back or to try again.
package store
