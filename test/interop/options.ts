/** The command line of run.mjs. */
import { parseArgs } from 'node:util'

export interface Options {
  /** Suites to run; all where it is empty. */
  only: string[]
  /** A group that runs already. */
  namesrv: string | undefined
  failover: boolean
  groupScript: string | undefined
}

/** @throws Error that says what is wrong with the command line. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      namesrv: { type: 'string' },
      'no-failover': { type: 'boolean', default: false },
      'group-script': { type: 'string' },
    },
  })
  const options = {
    only: values.only === undefined ? [] : values.only.split(','),
    namesrv: values.namesrv,
    failover: values['no-failover'] === false,
    groupScript: values['group-script'],
  }
  if (options.namesrv !== undefined && options.failover) {
    throw new Error('--namesrv names a group of somebody else, whose leader is not ours to kill: add --no-failover')
  }
  return options
}
