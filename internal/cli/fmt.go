package cli

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

func (a *app) fmtCmd() *cobra.Command {
	var check, write bool
	c := &cobra.Command{Use: "fmt FILE...", Short: "Put policy files into their one form",
		Long: `Put policy files into their one form, and print them. White space changes, commas behind the
last element and quotes that are not needed; never what a file says, and no comment is lost.
A file in another form has another SHA-256: to a server it is another policy, which takes
the place of the active one and voids open approvals.

Exit codes: 0 done, 1 with --check: a file is not in form, 2 unreadable or wrong usage.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("fmt takes policy files, and there is none: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, files []string) error {
			if check && write {
				return usagef("--check changes nothing and --write does: give one of them")
			}
			return a.tidy(files, check, write)
		}}
	c.Flags().BoolVar(&check, "check", false, "print nothing but the names of the files that are not in form")
	c.Flags().BoolVar(&write, "write", false, "change the files, and print the names of those that were not in form")
	return c
}

// A tidied file is one that policy fmt has looked at.
type tidied struct {
	File    string `json:"file"`
	Changed bool   `json:"changed"`        // it was not in form
	Text    string `json:"text,omitempty"` // what it is in form, where it is printed
}

func (a *app) tidy(files []string, check, write bool) error {
	var all []tidied
	unformed := false
	for _, name := range files {
		src, err := os.ReadFile(name)
		var text []byte
		if err == nil {
			text, err = policy.Tidy(name, src)
		}
		t := tidied{File: name, Changed: !bytes.Equal(src, text)}
		if err == nil && write && t.Changed {
			err = rewrite(name, text)
		}
		if err != nil {
			return &exitError{exitUsage, err}
		}
		unformed = unformed || t.Changed
		switch named := check || write; {
		case a.json && !named:
			t.Text = string(text)
		case a.json:
		case !named:
			a.out.Write(text)
		case t.Changed:
			a.printf("%s\n", safeText(name))
		}
		all = append(all, t)
	}
	if a.json {
		if err := a.printJSON(all); err != nil {
			return err
		}
	}
	if check && unformed {
		return &exitError{exitNo, nil}
	}
	return nil
}

// rewrite puts another text in the place of a file's, whole or not at all. A link stays one.
func rewrite(name string, text []byte) error {
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Chmod(st.Mode().Perm())
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return err
}
