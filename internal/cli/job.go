package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

func jobColumns() []column {
	return []column{
		{head: "ID", path: "id"}, {head: "KIND", path: "kind"}, {head: "STATUS", path: "status"}, {head: "DRY RUN", path: "dry_run", rare: true},
		{head: "DONE", path: "done"}, {head: "TOTAL", path: "total"}, {head: "FAILED", path: "failed"}, {head: "WAITS FOR", path: "waits_for", rare: true},
		{head: "CREATED", path: "created_at"}, {head: "ENDED", path: "ended_at"}, {head: "BY", path: "by"},
	}
}

func (c *cli) jobCommand() *cobra.Command {
	return group("job", "Follow and cancel long work that the server does in the background", "  copyhold job list --open\n  copyhold job show job_01jd0000000000000000000000 --follow",
		c.listCommand(listing{
			use: "list", short: "List jobs, latest first", example: "  copyhold job list\n  copyhold job list --open",
			path: "/v1/jobs", as: client.ByToken, columns: jobColumns(), switches: []filter{{"open", "only jobs that have not ended"}},
		}),
		c.jobShowCommand(), c.jobResultsCommand(), c.jobCancelCommand(),
	)
}

func jobPath(id string, rest ...string) string {
	return strings.Join(append([]string{"/v1/jobs", url.PathEscape(id)}, rest...), "/")
}

func (c *cli) jobShowCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "show JOB", Short: "Show a job and its progress",
		Long: `Show prints the state of a job. With --follow, it shows the progress until the job ends.
A job does not need the command: after an interruption, follow it again at any time.

Exit status with --follow: 0 the job succeeded for all items; 1 it failed, was canceled, or
some items failed.`,
		Example: "  copyhold job show job_01jd0000000000000000000000\n  copyhold job show job_01jd0000000000000000000000 --follow",
		Args:    exactly("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if follow {
				job, err := c.followJob(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if err := c.showJob(cmd.Context(), args[0]); err != nil {
					return err
				}
				if job.Status != licensing.JobSucceeded || job.Failed > 0 {
					return &exit{status: exitFailed}
				}
				return nil
			}
			return c.showJob(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "show the progress until the job ends")
	return cmd
}

func (c *cli) showJob(ctx context.Context, id string) error {
	return c.ask(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: jobPath(id)}, append(jobColumns(),
		column{head: "STARTED", path: "started_at"}, column{head: "PHASE", path: "phase"}, column{head: "CANCELING", path: "canceling"}, column{head: "ERROR", path: "error.message"})...)
}

func (c *cli) jobResultsCommand() *cobra.Command {
	var failed bool
	var limit int
	cmd := &cobra.Command{
		Use: "results JOB", Short: "List what became of each item of a job",
		Example: "  copyhold job results job_01jd0000000000000000000000 --failed\n  copyhold job results job_01jd0000000000000000000000 --limit 0 --output json",
		Args:    exactly("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usageError(cmd, "--limit must not be negative")
			}
			p, err := c.jobResults(cmd.Context(), args[0], failed, limit)
			if err != nil {
				return err
			}
			return c.printList(p, column{head: "LINE", path: "line", rare: true}, column{head: "LICENSE", path: "license"}, column{head: "ERROR", path: "error.message"})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "maximum number to show; 0 shows all")
	cmd.Flags().BoolVar(&failed, "failed", false, "only items that failed")
	return cmd
}

func (c *cli) jobResults(ctx context.Context, id string, failed bool, limit int) (client.Page, error) {
	server, err := c.client(client.ByToken)
	if err != nil {
		return client.Page{}, err
	}
	query := url.Values{}
	if failed {
		query.Set("failed", "true")
	}
	return server.List(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: jobPath(id, "results"), Query: query}, limit)
}

func (c *cli) jobCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cancel JOB", Short: "Cancel a job; what it has done so far stays done",
		Example: "  copyhold job cancel job_01jd0000000000000000000000",
		Args:    exactly("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: jobPath(args[0], "cancel")}); err != nil {
				return err
			}
			job, err := c.followJob(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.asJSON() {
				return c.showJob(cmd.Context(), args[0])
			}
			c.printf("%s is %s: %d of %d done, %d failed\n", job.ID, job.Status, job.Done, job.Total, job.Failed)
			return nil
		},
	}
}

// startJob creates a job and returns it.
func (c *cli) startJob(ctx context.Context, path string, body any) (job v1.Job, err error) {
	a, err := c.do(ctx, client.Call{As: client.ByToken, Method: http.MethodPost, Path: path, Body: body})
	if err == nil {
		err = a.Decode(&job)
	}
	return job, err
}

// jobFailure returns an error if a job did not do its work, as the server would have answered it.
func jobFailure(job v1.Job) error {
	switch {
	case job.Status == licensing.JobStopped:
		return exitf(exitFailed, "job %s was canceled after %d of %d items", job.ID, job.Done, job.Total)
	case job.Status == licensing.JobFailed && job.Error != nil:
		return &client.Problem{Code: string(job.Error.Code), Detail: job.Error.Message}
	}
	return nil
}

// How often a job's progress is read: at first, so that short jobs end at once, and later.
const (
	followFirst = 20 * time.Millisecond
	followLast  = 500 * time.Millisecond
)

// followJob shows the progress of a job until it ends. If ctx ends, the job continues.
func (c *cli) followJob(ctx context.Context, id string) (job v1.Job, err error) {
	shows := jobProgress{progress: c.progress("item", 0)}
	defer shows.end()
	for wait := followFirst; ; wait = min(2*wait, followLast) {
		a, err := c.do(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: jobPath(id)})
		if err == nil {
			err = a.Decode(&job)
		}
		if err == nil && job.Status.Ended() {
			return job, nil
		}
		if ctx.Err() != nil {
			shows.end()
			return job, exitf(exitFailed, "interrupted; job %s continues on the server: to follow it again, run copyhold job show %s --follow", id, id)
		}
		if err != nil {
			return job, fmt.Errorf("following job %s, which continues on the server: %w", id, err)
		}
		shows.showJob(job)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// jobProgress shows how far a job is.
type jobProgress struct {
	*progress
	phase string // the state and the phase that it measures
}

func (p *jobProgress) showJob(job v1.Job) {
	if phase := string(job.Status) + job.Phase; phase != p.phase {
		p.phase, p.begun, p.first = phase, time.Now(), int(job.Done)
	}
	p.show(func() string { return p.text(job) })
}

func (p *jobProgress) text(job v1.Job) string {
	text := string(job.ID) + " is " + string(job.Status)
	switch {
	case job.WaitsFor != "":
		return text + " and waits for " + string(job.WaitsFor)
	case job.Canceling:
		return text + " and is about to stop"
	case job.Total == 0:
		return fmt.Sprintf("%s: %d done", text, job.Done)
	case job.Phase == "select":
		return fmt.Sprintf("%s selects licenses: %d so far", job.ID, job.Total)
	case job.Phase == "check":
		text = string(job.ID) + " checks"
	}
	done, total := int(job.Done), int(job.Total)
	text += ": " + progressText("item", done, total, left(done-p.first, total-done, time.Since(p.begun)))
	if isTerminal(p.c.program.Stderr) {
		text = bar(done, total) + " " + text
	}
	if job.Failed > 0 {
		text += fmt.Sprintf(", %d failed", job.Failed)
	}
	return text
}
