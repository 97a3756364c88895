/** Runs a command to its end and returns what it printed. */
import { spawn } from 'node:child_process'

export interface Finished {
  /** Exit status; 128 + signal number is not made up: a killed process has `signal`. */
  status: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** SIGKILL after this time, and an error. */
  timeoutMs: number
}

/** How long after its exit a command's output may still come. */
const OUTPUT_TIMEOUT_MS = 1000

/** Resolves whatever the exit status; rejects where the command cannot be started or takes too long. */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: options.cwd, env: options.env, stdio: ['ignore', 'pipe', 'pipe'] })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    let late = false
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, options.timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
    child.once('error', (failure) => {
      clearTimeout(timer)
      reject(new Error(`cannot run ${command}`, { cause: failure }))
    })
    const finish = (status: number | null, signal: NodeJS.Signals | null) => {
      clearTimeout(timer)
      clearTimeout(outputTimer)
      child.stdout.destroy()
      child.stderr.destroy()
      const text = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }
      if (late)
        reject(new Error(`${command} ${args.join(' ')} took longer than ${options.timeoutMs} ms\n${text.stderr}`))
      else resolve({ status, signal, ...text })
    }
    let outputTimer: NodeJS.Timeout | undefined
    child.once('close', finish)
    // A server that a script leaves running may hold its output open: then the exit has to do.
    child.once('exit', (status, signal) => {
      outputTimer = setTimeout(() => finish(status, signal), OUTPUT_TIMEOUT_MS)
    })
  })
}
