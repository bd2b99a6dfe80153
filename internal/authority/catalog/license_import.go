package catalog

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// MaxImport is the maximum number of rows that one request can import. The command line splits
// larger files.
const MaxImport = 10_000

// maxImportShown limits how many valid lines, and how many invalid lines, are named.
const maxImportShown = 100

// errNotImported rolls back a dry run, or a file with a bad line.
var errNotImported = errors.New("nothing was imported")

// ImportLicenses issues a license for each line. The license gets the key on the line, which is
// stored as a digest like every key. If any line is bad, nothing is imported unless Partial is set.
func (c *Catalog) ImportLicenses(ctx context.Context, p access.Principal, req v1.ImportRequest) (v1.Imported, error) {
	if err := request.Require(p, access.LicenseIssue); err != nil {
		return v1.Imported{}, err
	}
	rows, faults, err := licensing.ReadImport(req.CSV)
	if err != nil {
		return v1.Imported{}, err
	}
	if len(rows)+len(faults) > MaxImport {
		return v1.Imported{}, licensing.Errorf(licensing.TooLarge, "the file has more than %d rows: import it in parts", MaxImport).At("csv")
	}
	var undone v1.Imported
	done, err := Once(ctx, c.ledger, p, req, func(tx *ledger.Tx) (v1.Imported, error) {
		undone = v1.Imported{Errors: []v1.ImportError{}}
		i := NewIssuing(tx, p)
		for _, f := range faults {
			addFault(&undone, f.Line, f.Err)
		}
		for _, row := range rows {
			l, err := i.Import(ctx, NewImportRow(row.Fields))
			switch {
			case err == nil:
				undone.Imported++
				if req.DryRun && len(undone.Licenses) < maxImportShown {
					undone.Licenses = append(undone.Licenses, i.Importable(row.Line, l))
				}
			case licensing.CodeOf(err) == licensing.Internal || ctx.Err() != nil:
				return undone, err
			default:
				addFault(&undone, row.Line, err)
			}
		}
		if req.DryRun || undone.Failed > 0 && !req.Partial {
			return undone, errNotImported
		}
		return undone, nil
	})
	if errors.Is(err, errNotImported) {
		if !req.DryRun {
			undone.Imported = 0
		}
		return undone, nil
	}
	return done, err
}

// addFault records a bad row. If there are many, it keeps the rows that come first in the file.
func addFault(i *v1.Imported, line int, err error) {
	i.Failed++
	at, _ := slices.BinarySearchFunc(i.Errors, line, func(e v1.ImportError, line int) int { return e.Line - line })
	if at < maxImportShown {
		i.Errors = slices.Insert(i.Errors, at, v1.ImportError{Line: line, Code: licensing.CodeOf(err), Message: err.Error()})
		i.Errors = i.Errors[:min(len(i.Errors), maxImportShown)]
	}
}

// Importable returns the license that a line would become, for a dry run.
func (i *Issuing) Importable(line int, l licensing.License) v1.Importable {
	return v1.Importable{
		Line: line, Customer: l.Customer, CustomerName: i.customers[l.Customer], Product: l.Product, Plan: l.Plan,
		Edition: l.Edition, Start: l.Start, End: l.End, Payment: l.Payment, Reference: l.Reference,
	}
}

// An ImportRow is a row to import, in a form that can be stored: the digest of its key instead of
// the key.
type ImportRow struct {
	Fields map[string]string `json:"fields,omitempty"` // by column, without the key
	Digest string            `json:"digest,omitempty"`
	Hint   string            `json:"hint,omitempty"` // the part of the key that may be shown
	Code   licensing.Code    `json:"code,omitempty"` // of a fault in the row itself
	Fault  string            `json:"fault,omitempty"`
}

// FaultyRow returns a row that cannot be imported because of err.
func FaultyRow(err error) ImportRow {
	return ImportRow{Code: licensing.CodeOf(err), Fault: err.Error()}
}

// NewImportRow returns the row with the given fields.
func NewImportRow(fields map[string]string) ImportRow {
	key := fields["key"]
	digest, err := access.KeyDigest(key)
	if _, hidden := license.Invisible(key); err != nil || len(key) < 8 || hidden {
		return FaultyRow(licensing.Errorf(licensing.Invalid, "the key is shorter than 8 bytes, is longer than %d, contains an invisible character, or is a mistyped Copyhold key", access.MaxForeignKey))
	}
	row := ImportRow{Fields: maps.Clone(fields), Digest: digest.String(), Hint: hint(key)}
	delete(row.Fields, "key")
	return row
}

// Import issues the license of a row. If it fails, it stores nothing.
func (i *Issuing) Import(ctx context.Context, row ImportRow) (l licensing.License, err error) {
	if row.Fault != "" {
		return l, licensing.Errorf(row.Code, "%s", row.Fault)
	}
	digest, err := access.ParseDigest(row.Digest)
	if err != nil {
		return l, err
	}
	others, err := i.KeysByDigest(ctx, digest.String())
	if err != nil {
		return l, err
	}
	for _, other := range others {
		if other.Env == i.Env {
			return l, licensing.Errorf(licensing.Exists, "the key already belongs to a license")
		}
	}
	req, err := i.importRequest(ctx, row.Fields)
	if err != nil {
		return l, err
	}
	if l, err = i.grant(ctx, req); err != nil {
		return l, err
	}
	var random [4]byte
	rand.Read(random[:])
	id, _ := licensing.NewKey(random, [16]byte{})
	key := v1.Credential{ID: id, Imported: true, Hint: row.Hint, CreatedAt: i.Now()}
	if err := insertKey(ctx, i.Tx, l, key, digest); err != nil {
		return l, err
	}
	return l, noteIssued(i.Tx, licensing.LicenseImported, l)
}

func (i *Issuing) importRequest(ctx context.Context, line map[string]string) (v1.IssueRequest, error) {
	req := v1.IssueRequest{
		Customer: licensing.CustomerID(line["customer"]), Plan: licensing.PlanName(line["plan"]),
		Product: licensing.ProductName(line["product"]), Channel: line["channel"],
		Revision: licensing.RevisionID(line["revision"]), Edition: line["edition"],
		Reference: line["reference"], Payment: licensing.Payment(line["payment"]),
	}
	if reference, ok := strings.CutPrefix(line["customer"], "ref:"); ok {
		customer, found, err := i.CustomerByReference(ctx, i.Env, reference)
		if err != nil {
			return req, err
		}
		if !found || !i.p.SeesCustomer(customer.ID) {
			return req, request.NotFound("customer with the reference", reference)
		}
		req.Customer = customer.ID
	}
	for name, at := range map[string]*time.Time{"start": &req.Start, "end": &req.End} {
		text := line[name]
		if text == "" {
			continue
		}
		t, err := licensing.ParseDate(text)
		if err != nil {
			return req, licensing.Errorf(licensing.Invalid, "%s: %w", name, err)
		}
		*at = t
	}
	return req, nil
}

// hint returns the part of an imported key that may be shown: nothing if the key is short.
func hint(key string) string {
	if len(key) < 16 {
		return ""
	}
	return strings.ToValidUTF8("…"+key[len(key)-4:], "")
}
