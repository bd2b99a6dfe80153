package jobs

import (
	"context"
	"encoding/json"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// An importJob is what an import needs besides its rows.
type importJob struct {
	Partial bool `json:"partial,omitempty"`
}

// Import creates a job that issues a license for each row of a CSV file. The license gets the key in
// the row. If any row has an error, nothing is imported unless Partial is set.
func (j *Jobs) Import(ctx context.Context, p access.Principal, req v1.ImportJobRequest) (v1.Job, error) {
	items, err := importItems(req.CSV, req.FirstLine)
	if err != nil {
		return v1.Job{}, err
	}
	return j.create(ctx, p, submission{
		kind: licensing.JobImport, request: req, kept: importJob{Partial: req.Partial}, dry: req.DryRun, more: req.More, items: items,
	})
}

// importItems returns the rows of a file in the form in which they are stored, which has digests
// instead of keys. A faulty row is an item that fails.
func importItems(csv string, firstLine int) ([]storedItem, error) {
	rows, faults, err := licensing.ReadImport(csv)
	if err != nil {
		return nil, err
	}
	items := make([]storedItem, 0, len(rows)+len(faults))
	add := func(line int, row catalog.ImportRow) error {
		body, err := json.Marshal(row)
		if firstLine > 0 {
			line += firstLine - 2
		}
		items = append(items, storedItem{Line: line, Body: body})
		return err
	}
	for _, row := range rows {
		for len(faults) > 0 && faults[0].Line < row.Line {
			if err := add(faults[0].Line, catalog.FaultyRow(faults[0].Err)); err != nil {
				return nil, err
			}
			faults = faults[1:]
		}
		if err := add(row.Line, catalog.NewImportRow(row.Fields)); err != nil {
			return nil, err
		}
	}
	for _, f := range faults {
		if err := add(f.Line, catalog.FaultyRow(f.Err)); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (j *Jobs) runImport(ctx context.Context, r *run) error {
	kept, err := decoded[importJob](r.job.Request)
	if err != nil {
		return err
	}
	seen := map[string]item{} // by key and reference: parts of a file can repeat those of another part
	var in *ledger.Tx
	var issuing *catalog.Issuing
	return r.each(ctx, work{partial: kept.Partial, next: r.stored, do: func(ctx context.Context, tx *ledger.Tx, it item, result *v1.JobResult) error {
		if in != tx { // plans and customers are looked up once in each transaction
			in, issuing = tx, catalog.NewIssuing(tx, r.p)
		}
		row, err := decoded[catalog.ImportRow](string(it.body))
		if err != nil {
			return err
		}
		if err := twice(seen, it, row); err != nil {
			return err
		}
		l, err := issuing.Import(ctx, row)
		if err != nil {
			return err
		}
		if result.License = l.ID; r.job.DryRun {
			would := issuing.Importable(it.line, l)
			result.License, result.Importable = "", &would
		}
		return nil
	}})
}

// twice refuses a row with the key or the reference of another row of the file. seen has the rows
// so far. Clients choose the lines of rows, so those identify nothing.
func twice(seen map[string]item, it item, row catalog.ImportRow) error {
	for name, value := range map[string]string{"key": row.Digest, "reference": row.Fields["reference"]} {
		if value == "" {
			continue
		}
		if other, ok := seen[name+" "+value]; ok && other.n != it.n {
			return licensing.Errorf(licensing.Invalid, "the %s is already used in line %d", name, other.line)
		}
		seen[name+" "+value] = item{n: it.n, line: it.line}
	}
	return nil
}
