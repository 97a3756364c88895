/**
 * What every command line of this package does alike: how it fails, logs, writes its process id and stops.
 *
 * Keeps: a mistake of the user is one line on standard error and exit status 1. SIGTERM and SIGINT close cleanly with status
 * 0; a second signal ends at once.
 */
import { readFileSync } from 'node:fs'
import { constants, networkInterfaces } from 'node:os'
import { Command } from 'commander'
import { type Logger as PinoLogger, pino } from 'pino'
import { RotatingFile } from './rotating-file.ts'

export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version

/** Set by scripts that start servers: where the log goes, beside standard error's place. */
const LOG_FILE_VARIABLE = 'DLEDGER_LOG_FILE'

/** What could not be written yet, and is tried again with the next line. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024
const LOG_LEVELS = [...Object.keys(pino.levels.values), 'silent']

/** @returns a command whose mistakes are told as all others are: `<program>: <what>`. */
export function command(name: string, program = name): Command {
  return new Command(name).configureOutput({
    outputError: (text, write) => write(text.replace(/^error: /, `${program}: `)),
  })
}

/**
 * Logs are JSON lines on standard error, or in the rotated file that a starting script names. Lines that cannot be written, for
 * the disk is full, are dropped: they end no server.
 *
 * @throws Error that names the variable, its value and what is allowed.
 */
export function createLogger(name: string): PinoLogger {
  const file = process.env[LOG_FILE_VARIABLE]
  const level = process.env['LOG_LEVEL'] || 'info'
  if (!LOG_LEVELS.includes(level)) throw new Error(`LOG_LEVEL=${level}: allowed is ${LOG_LEVELS.join(', ')}`)
  const options = { name, level }
  if (file !== undefined && file !== '') return pino(options, new RotatingFile(file))
  const output = pino.destination({ dest: 2, sync: true, maxLength: UNWRITTEN_BYTES_MAX })
  output.on('error', () => {})
  return pino(options, output)
}

/** Whoever reads standard output may have enough before all is printed, as `head` does: that ends this process as it ends others. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(128 + constants.signals.SIGPIPE)
  })
}

/** Ends the process with one line that says what was wrong. */
export function fail(program: string, error: unknown): never {
  process.stderr.write(`${program}: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

/** Runs `close` once on SIGTERM or SIGINT; a second signal does not wait for it. */
export function closeOnSignal(close: () => Promise<void>, onError: (error: unknown) => void): void {
  let closing = false
  const handler = (signal: NodeJS.Signals): void => {
    if (closing) process.exit(128 + constants.signals[signal])
    closing = true
    close().then(
      () => process.exit(0),
      (error: unknown) => {
        onError(error)
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', handler)
  process.on('SIGINT', handler)
}

/** The first IPv4 address that is not loopback, or 127.0.0.1. */
export function ownAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const address of addresses ?? []) {
      if (address.family === 'IPv4' && !address.internal) return address.address
    }
  }
  return '127.0.0.1'
}
