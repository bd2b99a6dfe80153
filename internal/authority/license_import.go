package authority

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// MaxImport is the most rows one request can import; the command line sends larger files
// in parts.
const MaxImport = 10_000

// An ImportRequest brings the licenses and keys of another system. CSV has a
// header with the columns key, customer and plan, and any of product, channel,
// revision, edition, start, end, reference and payment. A customer is named by
// id, or as ref:REFERENCE.
type ImportRequest struct {
	CSV     string `json:"csv"`
	DryRun  bool   `json:"dry_run,omitempty"`
	Partial bool   `json:"partial,omitempty" doc:"Import the good lines though others are bad. Default: all or nothing."`
}

// An Imported file says what became of its lines.
type Imported struct {
	Imported int           `json:"imported"`
	Failed   int           `json:"failed"`
	Errors   []ImportError `json:"errors" doc:"The first 100, by line."`
}

// An ImportError says what is wrong with a line; the header is line 1.
type ImportError struct {
	Line    int            `json:"line"`
	Code    licensing.Code `json:"code"`
	Message string         `json:"message"`
}

const maxImportErrors = 100

// errNotImported rolls back a dry run, or a file with a bad line.
var errNotImported = errors.New("nothing was imported")

// ImportLicenses issues a license for each line, with the key of the line,
// which is stored as a digest like every key. With a bad line nothing is
// imported unless Partial.
func (a *Authority) ImportLicenses(ctx context.Context, p access.Principal, req ImportRequest) (Imported, error) {
	if err := require(p, access.LicenseIssue); err != nil {
		return Imported{}, err
	}
	rows, faults, err := licensing.ReadImport(req.CSV)
	if err != nil {
		return Imported{}, err
	}
	if len(rows)+len(faults) > MaxImport {
		return Imported{}, licensing.Errorf(licensing.TooLarge, "the file has more than %d rows: import it in parts", MaxImport).At("csv")
	}
	var undone Imported
	var digests []access.Digest
	done, err := once(ctx, a, p, req, func(c *change) (Imported, error) {
		undone, digests = Imported{Errors: []ImportError{}}, digests[:0]
		i := issuing{change: c, p: p, plans: map[planAt]licensing.Revision{}, customers: map[licensing.CustomerID]bool{}}
		for _, f := range faults {
			undone.fail(f.Line, f.Err)
		}
		for _, row := range rows {
			digest, err := i.importLine(ctx, row.Fields)
			switch {
			case err == nil:
				undone.Imported++
				digests = append(digests, digest)
			case licensing.CodeOf(err) == licensing.Internal || ctx.Err() != nil:
				return undone, err
			default:
				undone.fail(row.Line, err)
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
	for _, d := range digests {
		a.auth.expect(p.Env, d)
	}
	return done, err
}

// fail notes a faulty row. Of many those that come first in the file are kept.
func (i *Imported) fail(line int, err error) {
	i.Failed++
	at, _ := slices.BinarySearchFunc(i.Errors, line, func(e ImportError, line int) int { return e.Line - line })
	if at < maxImportErrors {
		i.Errors = slices.Insert(i.Errors, at, ImportError{Line: line, Code: licensing.CodeOf(err), Message: err.Error()})
		i.Errors = i.Errors[:min(len(i.Errors), maxImportErrors)]
	}
}

// importLine issues the license of a line. It stores nothing when it fails.
func (i *issuing) importLine(ctx context.Context, line map[string]string) (access.Digest, error) {
	digest, err := keyDigest(line["key"])
	if _, hidden := license.Invisible(line["key"]); err != nil || len(line["key"]) < 8 || hidden {
		return digest, licensing.Errorf(licensing.Invalid, "the key is shorter than 8 bytes, longer than %d, has a character that nobody sees, or is a mistyped key of Copyhold", maxForeignKey)
	}
	others, err := i.KeysByDigest(ctx, digest.String())
	if err != nil {
		return digest, err
	}
	for _, other := range others {
		if other.Env == i.env {
			return digest, licensing.Errorf(licensing.Exists, "the key belongs to a license already")
		}
	}
	req, err := i.importRequest(ctx, line)
	if err != nil {
		return digest, err
	}
	l, err := i.grant(ctx, req)
	if err != nil {
		return digest, err
	}
	var random [4]byte
	rand.Read(random[:])
	id, _ := licensing.NewKey(random, [16]byte{})
	key := LicenseKey{ID: id, Imported: true, Hint: hint(line["key"]), CreatedAt: i.Now()}
	if err := i.insertKey(ctx, l, key, digest); err != nil {
		return digest, err
	}
	return digest, i.noteIssued(licensing.LicenseImported, l)
}

func (i *issuing) importRequest(ctx context.Context, line map[string]string) (IssueRequest, error) {
	req := IssueRequest{
		Customer: licensing.CustomerID(line["customer"]), Plan: licensing.PlanName(line["plan"]),
		Product: licensing.ProductName(line["product"]), Channel: line["channel"],
		Revision: licensing.RevisionID(line["revision"]), Edition: line["edition"],
		Reference: line["reference"], Payment: licensing.Payment(line["payment"]),
	}
	if reference, ok := strings.CutPrefix(line["customer"], "ref:"); ok {
		customer, found, err := i.CustomerByReference(ctx, i.env, reference)
		if err != nil {
			return req, err
		}
		if !found || !i.p.SeesCustomer(customer.ID) {
			return req, notFound("customer with the reference", reference)
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

// hint is what may be shown of an imported key: nothing of a short one.
func hint(key string) string {
	if len(key) < 16 {
		return ""
	}
	return strings.ToValidUTF8("…"+key[len(key)-4:], "")
}
