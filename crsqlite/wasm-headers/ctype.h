/* Included by cr-sqlite's C part, of which it uses nothing. */
#pragma once
