package cli

import (
	"context"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

func (a *App) txnCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "txn [FILE|-]", Short: "Compare, then run one of two lists of operations on config entries, atomically",
		Long: `Compare, then run one of two lists of operations on config entries, atomically. The file (default: the standard
input) is JSON or YAML:

  compare: [{name: shop/limits, target: modify_revision, operator: "=", number: 12}]
  then:    [{put: {name: shop/limits, value: '{"limit": 20}', format: json}}]
  else:    [{get: {name: shop/limits}}]

Targets are modify_revision, create_revision (0: it does not exist), version and value; operators =, !=, > and <.
A transaction whose comparisons do not hold runs "else" and is no error.`,
		Example: `  supercluster txn swap.json
  echo '{"compare": [{"name": "lock", "target": "version", "number": 0}], "then": [{"put": {"name": "lock", "value": "me"}}]}' | supercluster txn`,
		Args: args(0, 1),
	}
	message := messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file := "-"
		if len(args) == 1 {
			file = args[0]
		}
		data, err := a.read(file)
		if err != nil {
			return err
		}
		docs, err := parseDocuments(file, data)
		if err != nil {
			return err
		}
		if len(docs) != 1 {
			return fault.New(fault.Invalid, "%s: holds %d transactions, not one", file, len(docs))
		}
		var request pb.TxnRequest
		if err := docs[0].message(&request); err != nil {
			return err
		}
		return a.txn(cmd, &request, *message)
	}
	return cmd
}

func (a *App) txn(cmd *cobra.Command, request *pb.TxnRequest, message string) error {
	return a.call(cmd, func(ctx context.Context, c *client) error {
		options, err := c.write(ctx, first(message, request.GetOptions().GetMessage()))
		if err != nil {
			return err
		}
		request.Tenant, request.Namespace = first(request.Tenant, c.tenant), first(request.Namespace, c.namespace)
		request.Options = options
		r, err := c.configs.Txn(ctx, request)
		if err != nil {
			return err
		}
		return a.print(r, func(t *table) { txnTable(t, request, r) })
	})
}

func txnTable(t *table, request *pb.TxnRequest, r *pb.TxnResponse) {
	ran, ops := "then", request.GetThen()
	if !r.GetSucceeded() {
		ran, ops = "else", request.GetElse()
	}
	t.note("%s ran, revision %d", ran, r.GetHeader().GetRevision())
	for i, result := range r.GetResults() {
		if i >= len(ops) {
			break
		}
		switch op := ops[i].GetOp().(type) {
		case *pb.TxnOp_Put_:
			t.note("put %s", op.Put.GetName())
		case *pb.TxnOp_Delete_:
			t.note("delete %s: %d", op.Delete.GetName(), result.GetDeleted())
		case *pb.TxnOp_Get_:
			if result.GetConfig() == nil {
				t.note("get %s: does not exist", op.Get.GetName())
				continue
			}
			t.note("get %s, revision %d: %s", op.Get.GetName(), homeRevision(result.GetConfig()), result.GetConfig().GetValue())
		}
	}
}
