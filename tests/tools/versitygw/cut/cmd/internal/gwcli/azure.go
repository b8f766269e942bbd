package gwcli

import "github.com/urfave/cli/v2"

// AzureCommand takes the place of the command that serves from Azure.
func AzureCommand() *cli.Command { return &cli.Command{Name: "azure"} }
