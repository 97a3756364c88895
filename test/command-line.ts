/** Command lines of the tests that are run by hand: a wrong value is refused with what is allowed, `--help` says what there is. */
import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'

const JOBS_MAX = 999

/** `npm run NAME -- …`; exit status 1 for what it does not know. */
export function commandLine(name: string, what: string): Command {
  return new Command(`npm run ${name} --`).description(what).allowExcessArguments(false).showHelpAfterError()
}

export function wholeNumber(flags: string, what: string, min: number, max = Number.MAX_SAFE_INTEGER): Option {
  return new Option(flags, what).argParser((text) => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    const upTo = max === Number.MAX_SAFE_INTEGER ? 'on' : `to ${max}`
    throw new InvalidArgumentError(`Allowed is a whole number from ${min} ${upTo}.`)
  })
}

export function minutes(what: string): Option {
  return new Option('--minutes <number>', what).argParser((text) => {
    const value = Number(text)
    if (value > 0) return value
    throw new InvalidArgumentError('Allowed is a number above 0.')
  })
}

/** Threads; as many as there are cores where nothing is said. */
export function jobs(): Option {
  return wholeNumber('--jobs <count>', 'threads (default: as many as there are cores)', 1, JOBS_MAX).default(
    availableParallelism(),
    'cores',
  )
}
