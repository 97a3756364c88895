import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { NODE_FLAGS, SERVER_ENV } from './v8.ts'

test.each(['mqbroker', 'mqnamesrv'])(
  'the first line of bin/%s.js has the flags and the environment with which scripts start it',
  (name) => {
    const text = readFileSync(new URL(`../../bin/${name}.js`, import.meta.url), 'utf8')
    const env = Object.entries(SERVER_ENV).map(([key, value]) => `${key}=${value}`)
    expect(text.split('\n')[0]).toBe(`#!/usr/bin/env -S ${[...env, 'node', ...NODE_FLAGS].join(' ')}`)
  },
)
