/** Command lines of the measurements: a wrong value is refused with what is allowed, `--help` says what there is. */
import { Command, InvalidArgumentError, Option } from 'commander'

/** `npm run NAME -- …`; its options are read by `parse().opts()`. */
export function measurement(name: string, what: string): Command {
  return new Command(`npm run ${name} --`).description(what).allowExcessArguments(false).showHelpAfterError()
}

export function wholeNumber(flags: string, what: string, byDefault: number, min = 1): Option {
  return new Option(flags, what).default(byDefault).argParser((text) => numberFrom(text, min))
}

/** Numbers separated by commas. */
export function wholeNumbers(flags: string, what: string, byDefault?: readonly number[]): Option {
  const option = new Option(flags, what).argParser((text: string) => text.split(',').map((part) => numberFrom(part, 1)))
  return byDefault === undefined ? option : option.default(byDefault, byDefault.join(','))
}

export function flushOption(): Option {
  return new Option('--flush <type>', 'when a write counts')
    .choices(['SYNC_FLUSH', 'ASYNC_FLUSH'])
    .default('SYNC_FLUSH')
}

function numberFrom(text: string, min: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= min) return value
  throw new InvalidArgumentError(`Allowed is a whole number from ${min}.`)
}
